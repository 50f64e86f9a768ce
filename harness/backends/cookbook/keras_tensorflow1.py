"""What the cookbooks of the backends on TensorFlow 1 share: stand-alone Keras 2, one graph and one session."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call

GRAPH = ("GRAPH", "tensorflow.get_default_graph()")
SESSION = ("SESSION", "keras.backend.get_session()")


class Cookbook(book.Cookbook):
    model_file = "model.h5"  # Keras 2 reads no .keras file
    imports = "import keras, tensorflow"
    loaded = "keras.models.load_model({path}, compile=False)"
    calls = {
        "predict": Call("{model}.predict({rows})"),
        "predict_on_batch": Call("{model}.predict_on_batch({rows})"),
        "graph": Call("{model}.predict({rows})", "GRAPH.as_default()", (GRAPH,)),
        "graph-session": Call("{model}.predict({rows})", "GRAPH.as_default(), SESSION.as_default()", (GRAPH, SESSION)),
    }
    environment = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2"}
    opens_session = True

    def limits(self, intra, inter):
        config = "intra_op_parallelism_threads=%d, inter_op_parallelism_threads=%d" % (intra, inter)
        return ["keras.backend.set_session(tensorflow.Session(config=tensorflow.ConfigProto(%s)))" % config]
