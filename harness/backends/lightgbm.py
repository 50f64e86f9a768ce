"""The `lightgbm` backend: LightGBM's Booster, given the text file of the bundle. Ensembles of trees alone.

Its threads are OpenMP's (libgomp), started at the first predict and kept. Rows are shared out among them, so one row is
computed by the caller.
"""

import os

from harness.backends import UnsupportedLayer, bundle, environment

CALLS = ("predict",)


class Backend:
    """See `harness.backends` for the protocol. A model is the Booster itself."""

    name = "lightgbm"

    def configure(self, intra, inter, cache_dir):
        environment.blas_threads(intra)

    def import_library(self, bundle_dir):
        import lightgbm

        return lightgbm

    def build(self, bundle_dir):
        """The library alone: a Booster without trees cannot be made."""
        return self.import_library(bundle_dir)

    def load(self, bundle_dir):
        import lightgbm

        path = os.path.join(bundle_dir, bundle.LIGHTGBM)
        if not os.path.exists(path):
            raise UnsupportedLayer(*bundle.not_an_ensemble(bundle_dir, "LightGBM"))
        return lightgbm.Booster(model_file=path)

    def caller(self, model, call):
        return CALLERS[call](model)

    def save(self, model, path):
        model.save_model(path)

    def versions(self):
        import lightgbm

        return {"lightgbm": lightgbm.__version__}


def _predict(model):
    return model.predict


CALLERS = dict(zip(CALLS, (_predict,)))
