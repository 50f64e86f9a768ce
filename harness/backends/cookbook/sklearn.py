"""The `sklearn` backend to paste: scikit-learn, whose only threads here are those of its BLAS."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Cookbook(book.Cookbook):
    model_file = "model.joblib"
    imports = "import joblib"
    loaded = "joblib.load({path})"  # a pickle: of your own making alone
    calls = {"predict": Call("{model}.predict({rows})")}

    def limiting(self, intra, inter):
        return {"OMP_NUM_THREADS": str(intra), "OPENBLAS_NUM_THREADS": str(intra)}
