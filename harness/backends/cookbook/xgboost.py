"""The `xgboost` backend to paste: XGBoost, whose threads are OpenMP's."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Cookbook(book.Cookbook):
    model_file = "model.json"
    imports = "import xgboost"
    loaded = "xgboost.Booster(model_file={path})"
    calls = {"predict": Call("{model}.predict(xgboost.DMatrix({rows}))", imports="import xgboost")}

    def limiting(self, intra, inter):
        return {"OMP_NUM_THREADS": str(intra), "OPENBLAS_NUM_THREADS": str(intra)}
