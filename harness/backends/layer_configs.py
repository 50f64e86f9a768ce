"""From a Keras 3 model to a layer list that Keras 2.2.4 and 2.3.1 understand, or the reason why there is none.

A layer is carried over only where it computes the same thing in all three: by this table, which names what each layer
may keep, and by the conditions in `objection`. Used by `model_reader`; `keras_layers` does the opposite.
"""

# Activations that mean the same in all versions. hard_sigmoid does not: Keras 3 gave it another slope.
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softmax", "softplus", "softsign", "elu", "selu", "exponential")

_WINDOW = ("strides", "padding", "data_format")
_RECURRENT = ("units", "activation", "recurrent_activation", "use_bias", "return_sequences", "go_backwards")
_FILTER = ("kernel_size", "dilation_rate", "activation", "use_bias") + _WINDOW

#: What predict needs of each layer's configuration; initialisers, regularisers and names do not matter to it.
KEPT = {
    "Activation": ("activation",),
    "AveragePooling2D": ("pool_size",) + _WINDOW,
    "BatchNormalization": ("axis", "epsilon", "center", "scale"),
    "Conv2D": ("filters",) + _FILTER,
    "Dense": ("units", "activation", "use_bias"),
    "DepthwiseConv2D": ("depth_multiplier",) + _FILTER,
    "Dropout": ("rate",),
    "Embedding": ("input_dim", "output_dim"),
    "Flatten": ("data_format",),
    "GRU": _RECURRENT + ("reset_after",),
    "GlobalAveragePooling2D": ("data_format",),
    "GlobalMaxPooling2D": ("data_format",),
    "LSTM": _RECURRENT,
    "MaxPooling2D": ("pool_size",) + _WINDOW,
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Reshape": ("target_shape",),
    "SeparableConv2D": ("filters", "depth_multiplier") + _FILTER,
    "ZeroPadding2D": ("padding", "data_format"),
}

#: Options that the older Keras lack, or that change what a worker must send: only at this value.
REQUIRED = {"groups": 1, "keepdims": False, "mask_zero": False, "return_state": False, "stateful": False}


class NotCarriedOver(Exception):
    """This layer has no equal in the older Keras."""

    def __init__(self, layer_name, reason):
        super().__init__("%s: %s" % (layer_name, reason))
        self.layer_name = layer_name
        self.reason = reason


def describe(model):
    """(layer list, weights in their order) of a linear chain of layers. Raises NotCarriedOver."""
    layers = chain(model)
    specs = [spec(layer) for layer in layers]
    return specs, [weight for layer in layers for weight in layer.get_weights()]


def chain(model):
    """The model's layers in order, without its input. Raises NotCarriedOver where one does not simply follow another."""
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    if type(model).__name__ == "Sequential":  # a chain by definition; its layers may carry nodes of earlier builds
        return layers
    tensor = model.inputs[0]
    for layer in layers:
        if not _takes(layer, tensor):
            raise NotCarriedOver(type(layer).__name__, "does not simply follow the layer before it")
        tensor = layer.output
    if tensor is not model.outputs[0]:
        raise NotCarriedOver(type(model).__name__, "its answer is not its last layer's")
    return layers


def _takes(layer, tensor):
    try:
        return layer.input is tensor
    except (AttributeError, ValueError):  # what Keras raises for a layer that is used more than once
        return False


def spec(layer):
    """{"layer", "config"} of one layer. Raises NotCarriedOver."""
    name, config = type(layer).__name__, layer.get_config()
    reason = objection(layer, name, config)
    if reason:
        raise NotCarriedOver(name, reason)
    kept = {key: config[key] for key in KEPT[name] if key in config}
    if name == "DepthwiseConv2D" and tuple(kept["dilation_rate"]) == (1, 1):
        del kept["dilation_rate"]  # Keras 2.2.4 has no such option
    return {"layer": name, "config": kept}


def objection(layer, name, config):
    """Why this layer cannot be carried over, '' if it can."""
    if name not in KEPT or not type(layer).__module__.startswith("keras."):
        return "not among the layers whose meaning is known to be the same in Keras 2.2.4, 2.3.1 and 3"
    if layer.compute_dtype != "float32":
        return "computes in %s" % layer.compute_dtype
    for key in ("activation", "recurrent_activation"):
        if config.get(key, "linear") not in ACTIVATIONS:
            return "%s %s is not the same in Keras 2" % (key, config[key])
    for key, value in REQUIRED.items():
        if config.get(key, value) != value:
            return "%s=%s" % (key, config[key])
    return ""
