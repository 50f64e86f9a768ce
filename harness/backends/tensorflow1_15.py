"""The `tensorflow1_15` backend: Keras 2.3.1 on TensorFlow 1.15, the last of that line."""

from harness.backends import keras_tensorflow1

CALLS = keras_tensorflow1.CALLS


class Backend(keras_tensorflow1.KerasOnTensorFlow1):
    name = "tensorflow1_15"
