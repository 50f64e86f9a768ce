"""The `theano` backend: Keras 2.3.1 on Theano 1.0.5, which compiles its functions with g++ at the first predict.

Compiled code is kept in the cache folder. Theano has no inter-op threads; its intra-op threads are those of its BLAS.

Two things differ in its arithmetic, and would look like wrong answers of a pool:

* It convolves where TensorFlow cross-correlates, so Conv2D's kernels are turned by 180 degrees after the weights are
  set, as Keras itself does with weights files of the other engine (`conv_utils.convert_kernel`). Depthwise kernels are
  turned by Keras at every predict (`_preprocess_conv2d_depthwise_kernel`) and stay as they are.
* Its "same" padding is not TensorFlow's where a stride is above 1, a kernel is even, or a pool pads. Such layers are
  refused: the weights mean another function there.
"""

import os

from harness.backends import UnsupportedLayer, bundle, environment, keras_layers

CALLS = ("predict", "predict_on_batch")

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
POOLS = ("MaxPooling2D", "AveragePooling2D")


class Backend:
    """See `harness.backends` for the protocol. A model is the Keras model itself."""

    name = "theano"

    def configure(self, intra, inter, cache_dir):
        environment.keras_on("theano", cache_dir)
        environment.blas_threads(intra)
        environment.theano_flag("base_compiledir", os.path.join(cache_dir, "theano"))

    def import_library(self, bundle_dir):
        import keras
        import theano

        return keras, theano

    def build(self, bundle_dir):
        import keras

        return keras_layers.build_bare(keras, bundle_dir)

    def load(self, bundle_dir):
        import keras

        for layer in bundle.read_model(bundle_dir)["layers"] or ():
            refuse_other_padding(layer["layer"], layer["config"])
        model = keras_layers.build_with_weights(keras, bundle_dir)
        turn_kernels(model)
        return model

    def caller(self, model, call):
        return CALLERS[call](model)

    def versions(self):
        import keras
        import theano

        return {"keras": keras.__version__, "theano": theano.__version__}


def refuse_other_padding(name, config):
    """Raise UnsupportedLayer where Theano's "same" is another one than TensorFlow's."""
    if config.get("padding") != "same":
        return
    strided = any(stride > 1 for stride in config.get("strides") or ())
    even = any(size % 2 == 0 for size in config.get("kernel_size") or ())
    if name in POOLS or (name in CONVOLUTIONS and (strided or even)):
        raise UnsupportedLayer(name, 'Theano pads "same" differently here')


def turn_kernels(model):
    """Rotate the kernel of every Conv2D, (height, width, ...), by 180 degrees."""
    for layer in model.layers:
        if type(layer).__name__ == "Conv2D":
            weights = layer.get_weights()
            weights[0] = weights[0][::-1, ::-1]
            layer.set_weights(weights)


def _predict(model):
    return model.predict


def _predict_on_batch(model):
    return model.predict_on_batch


CALLERS = dict(zip(CALLS, (_predict, _predict_on_batch)))
