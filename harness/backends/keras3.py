"""What all engines of Keras 3 share: the model is built of the bundle's layers, and asked in the same three ways.

An engine's module fills in `engine` and `limit_threads`.
"""

import importlib

from harness.backends import environment, keras_layers

CALLS = ("predict", "predict_on_batch", "direct")


class Backend:
    """See `harness.backends` for the protocol. A model is the Keras model itself."""

    engine = ""  # as KERAS_BACKEND names it
    library = ""  # the module that the engine is

    def __init__(self):
        self.intra = self.inter = None

    def configure(self, intra, inter, cache_dir):
        self.intra, self.inter = intra, inter
        environment.keras_on(self.engine, cache_dir)

    def import_library(self, bundle_dir):
        """Import Keras and its engine, and limit its threads where they are to be limited."""
        import keras

        self.limit_threads(importlib.import_module(self.library))
        return keras

    def limit_threads(self, library):
        """After the import of the engine, and before its first use."""

    def build(self, bundle_dir):
        return keras_layers.build_bare(self.import_library(bundle_dir), bundle_dir)

    def load(self, bundle_dir):
        return keras_layers.build_with_weights(self.import_library(bundle_dir), bundle_dir)

    def caller(self, model, call):
        return CALLERS[call](model)

    def versions(self):
        import keras

        return {"keras": keras.__version__, self.library: importlib.import_module(self.library).__version__}


def _predict(model):
    return lambda rows: model.predict(rows, verbose=0)


def _predict_on_batch(model):
    return model.predict_on_batch


def _direct(model):
    import numpy

    return lambda rows: numpy.asarray(model(rows, training=False))


CALLERS = dict(zip(CALLS, (_predict, _predict_on_batch, _direct)))
