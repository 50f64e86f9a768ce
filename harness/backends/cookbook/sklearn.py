"""The `sklearn` backend to paste: scikit-learn, whose only threads here are those of its BLAS."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call

JOBLIB = "import joblib"
JOBS = "joblib.delayed({model}.predict)({rows}) for _ in range(2)"  # as the members of an ensemble do


class Cookbook(book.Cookbook):
    model_file = "model.joblib"
    imports = "import joblib"
    loaded = "joblib.load({path})"  # a pickle: of your own making alone
    calls = {
        "predict": Call("{model}.predict({rows})"),
        "joblib": Call("joblib.Parallel(n_jobs=2)(%s)[0]" % JOBS, imports="import joblib", often=True),
        "joblib-threads": Call(
            "joblib.Parallel(n_jobs=2, prefer='threads')(%s)[0]" % JOBS, imports="import joblib", often=True
        ),
        "process-pool": Call(
            "pool.map({model}.predict, [{rows}] * 2)[0]",
            within="multiprocessing.Pool(2) as pool",
            imports="import multiprocessing",
        ),
    }

    def limiting(self, intra, inter):
        return {"OMP_NUM_THREADS": str(intra), "OPENBLAS_NUM_THREADS": str(intra)}
