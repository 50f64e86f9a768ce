"""The `tensorflow2` backend to paste: Keras 3 on TensorFlow 2."""

from harness.backends.cookbook.keras3 import Keras3


class Cookbook(Keras3):
    imports = "import keras, tensorflow"
    environment = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2"}

    def limits(self, intra, inter):
        return [
            "tensorflow.config.threading.set_intra_op_parallelism_threads(%d)" % intra,
            "tensorflow.config.threading.set_inter_op_parallelism_threads(%d)" % inter,
        ]
