"""The `xgboost` backend: XGBoost's Booster, given the JSON file of the bundle. Ensembles of trees alone.

Its threads are OpenMP's, started at the first predict and kept.
"""

import os

from harness.backends import UnsupportedLayer, bundle, environment

CALLS = ("predict",)


class Backend:
    """See `harness.backends` for the protocol. A model is the Booster itself."""

    name = "xgboost"

    def configure(self, intra, inter, cache_dir):
        environment.blas_threads(intra)

    def import_library(self, bundle_dir):
        import xgboost

        return xgboost

    def build(self, bundle_dir):
        """A Booster without trees."""
        import xgboost

        return xgboost.Booster()

    def load(self, bundle_dir):
        import xgboost

        path = os.path.join(bundle_dir, bundle.XGBOOST)
        if not os.path.exists(path):
            raise UnsupportedLayer(*bundle.not_an_ensemble(bundle_dir, "XGBoost"))
        return xgboost.Booster(model_file=path)

    def caller(self, model, call):
        return CALLERS[call](model)

    def save(self, model, path):
        model.save_model(path)

    def versions(self):
        import xgboost

        return {"xgboost": xgboost.__version__}


def _predict(model):
    import xgboost

    return lambda rows: model.predict(xgboost.DMatrix(rows))


CALLERS = dict(zip(CALLS, (_predict,)))
