"""The `tensorflow2` backend: Keras 3 on TensorFlow 2. The one that reads a user's model file as it is."""

import os

from harness.backends import bundle, environment, keras_layers

CALLS = ("predict", "predict_on_batch", "direct")


class Backend:
    """See `harness.backends` for the protocol. A model is the Keras model itself."""

    name = "tensorflow2"

    def __init__(self):
        self.intra = self.inter = None

    def configure(self, intra, inter, cache_dir):
        self.intra, self.inter = intra, inter
        environment.quiet_cpu_tensorflow()
        environment.keras_on("tensorflow", cache_dir)

    def import_library(self, bundle_dir):
        """Import Keras and TensorFlow, and limit its threads where they are to be limited."""
        import keras
        import tensorflow

        threading = tensorflow.config.threading
        if self.intra is not None:
            threading.set_intra_op_parallelism_threads(self.intra)
        if self.inter is not None:
            threading.set_inter_op_parallelism_threads(self.inter)
        return keras

    def build(self, bundle_dir):
        return keras_layers.build_bare(self.import_library(bundle_dir), bundle_dir)

    def load(self, bundle_dir):
        keras = self.import_library(bundle_dir)
        file = bundle.read_model(bundle_dir).get("file")
        if file is None:
            return keras_layers.build_with_weights(keras, bundle_dir)
        return keras.models.load_model(os.path.join(bundle_dir, file), compile=False, safe_mode=True)

    def caller(self, model, call):
        return CALLERS[call](model)

    def versions(self):
        import keras
        import tensorflow

        return {"keras": keras.__version__, "tensorflow": tensorflow.__version__}


def _predict(model):
    return lambda rows: model.predict(rows, verbose=0)


def _predict_on_batch(model):
    return model.predict_on_batch


def _direct(model):
    import numpy

    return lambda rows: numpy.asarray(model(rows, training=False))


CALLERS = dict(zip(CALLS, (_predict, _predict_on_batch, _direct)))
