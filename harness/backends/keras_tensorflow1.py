"""What the backends on TensorFlow 1 share: stand-alone Keras 2, one graph and one session of module-wide state.

`tensorflow1` and `tensorflow1_15` are this with another name and another environment.
"""

from collections import namedtuple

from harness.backends import environment, keras_layers

CALLS = ("predict", "predict_on_batch", "graph", "graph-session")

Loaded = namedtuple("Loaded", "model graph session")


class KerasOnTensorFlow1:
    """See `harness.backends` for the protocol. A model is Loaded, with what was current right after the load."""

    def __init__(self):
        self.intra = self.inter = None

    def configure(self, intra, inter, cache_dir):
        self.intra, self.inter = intra, inter
        environment.quiet_cpu_tensorflow()
        environment.keras_on("tensorflow", cache_dir)

    def import_library(self, bundle_dir):
        import keras
        import tensorflow

        return keras, tensorflow

    def build(self, bundle_dir):
        """The graph alone: Keras opens its session when it first needs one, to set weights or to predict."""
        import keras
        import tensorflow

        self._open_session(keras, tensorflow)
        return keras_layers.build_bare(keras, bundle_dir)

    def load(self, bundle_dir):
        import keras
        import tensorflow

        self._open_session(keras, tensorflow)
        model = keras_layers.build_with_weights(keras, bundle_dir)
        # Setting the weights has opened Keras' session, so asking for it here changes nothing.
        return Loaded(model, tensorflow.get_default_graph(), keras.backend.get_session())

    def _open_session(self, keras, tensorflow):
        """Where threads are limited, by a session of our own making; where not, Keras makes its session itself."""
        if self.intra is not None or self.inter is not None:
            keras.backend.set_session(tensorflow.Session(config=self._threads(tensorflow)))

    def _threads(self, tensorflow):
        # 0 is TensorFlow's own word for "choose".
        return tensorflow.ConfigProto(
            intra_op_parallelism_threads=self.intra or 0, inter_op_parallelism_threads=self.inter or 0
        )

    def caller(self, model, call):
        return CALLERS[call](model)

    def versions(self):
        import keras
        import tensorflow

        return {"keras": keras.__version__, "tensorflow": tensorflow.__version__}


def _predict(loaded):
    return loaded.model.predict


def _predict_on_batch(loaded):
    return loaded.model.predict_on_batch


def _graph(loaded):
    def predict(rows):
        with loaded.graph.as_default():
            return loaded.model.predict(rows)

    return predict


def _graph_session(loaded):
    def predict(rows):
        with loaded.graph.as_default(), loaded.session.as_default():
            return loaded.model.predict(rows)

    return predict


CALLERS = dict(zip(CALLS, (_predict, _predict_on_batch, _graph, _graph_session)))
