"""The `tensorflow1` backend to paste: Keras 2.2.4 on TensorFlow 1.13.1."""

from harness.backends.cookbook import keras_tensorflow1


class Cookbook(keras_tensorflow1.Cookbook):
    pass
