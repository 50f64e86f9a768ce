"""The `lightgbm` backend to paste: LightGBM, whose threads are OpenMP's."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Cookbook(book.Cookbook):
    model_file = "model.txt"
    imports = "import lightgbm"
    loaded = "lightgbm.Booster(model_file={path})"
    calls = {"predict": Call("{model}.predict({rows})")}

    def limiting(self, intra, inter):
        return {"OMP_NUM_THREADS": str(intra), "OPENBLAS_NUM_THREADS": str(intra)}
