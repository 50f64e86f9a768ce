"""The `tensorflow1_15` backend to paste: Keras 2.3.1 on TensorFlow 1.15."""

from harness.backends.cookbook import keras_tensorflow1


class Cookbook(keras_tensorflow1.Cookbook):
    pass
