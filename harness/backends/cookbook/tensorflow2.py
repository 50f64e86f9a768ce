"""The `tensorflow2` backend to paste: Keras 3 on TensorFlow 2."""

from harness.backends.cookbook import book
from harness.backends.cookbook.book import Call


class Cookbook(book.Cookbook):
    model_file = "model.keras"
    imports = "import keras, tensorflow"
    loaded = "keras.models.load_model({path}, compile=False)"
    calls = {
        "predict": Call("{model}.predict({rows}, verbose=0)"),  # Keras 3 draws a bar of progress if it is not told
        "predict_on_batch": Call("{model}.predict_on_batch({rows})"),
        "direct": Call("numpy.asarray({model}({rows}, training=False))"),
    }
    environment = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2"}

    def limits(self, intra, inter):
        return [
            "tensorflow.config.threading.set_intra_op_parallelism_threads(%d)" % intra,
            "tensorflow.config.threading.set_inter_op_parallelism_threads(%d)" % inter,
        ]
