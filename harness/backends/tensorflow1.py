"""The `tensorflow1` backend: Keras 2.2.4 on TensorFlow 1.13.1, the versions of the incidents."""

from harness.backends import keras_tensorflow1

CALLS = keras_tensorflow1.CALLS


class Backend(keras_tensorflow1.KerasOnTensorFlow1):
    name = "tensorflow1"
