"""A bundle's model as plain layers, for engines that know no Keras: what each layer computes, and its weights.

An engine's backend says which layers it builds, and raises UnsupportedLayer for the others with `refuse`. Options are held to
those whose meaning is known here: one that is left out of sight would make another model of the same weights.
"""

from collections import namedtuple

from harness.backends import UnsupportedLayer, bundle

#: `weights`: float32 arrays in Keras' order, see `harness.workloads.reference`. Absent options have Keras' default.
Plain = namedtuple("Plain", "name config weights")

#: layer -> (how many weights it takes, its options: the values that mean what its default means, None for any)
KNOWN = {
    "Dense": (2, {"units": None, "activation": None, "use_bias": (True,)}),
    "Conv2D": (
        2,
        {
            "filters": None,
            "kernel_size": None,
            "activation": None,
            "padding": ("same", "valid"),
            "strides": ([1, 1], (1, 1)),
            "dilation_rate": ([1, 1], (1, 1)),
            "data_format": ("channels_last",),
            "use_bias": (True,),
        },
    ),
    "MaxPooling2D": (
        0,
        {"pool_size": None, "strides": None, "padding": ("valid",), "data_format": ("channels_last",)},
    ),
    "Flatten": (0, {"data_format": ("channels_last",)}),
    "Dropout": (0, {"rate": None}),
}


def read(bundle_dir):
    """The layers of the bundle's model, as a list of Plain. Raises UnsupportedLayer."""
    model = bundle.read_model(bundle_dir)
    if model["layers"] is None:
        raise UnsupportedLayer(model["unsupported"], model.get("reason", ""))
    for layer in model["layers"]:
        _check(layer["layer"], layer["config"])
    left, found = bundle.read_weights(bundle_dir), []
    for layer in model["layers"]:
        count = KNOWN[layer["layer"]][0]
        found.append(Plain(layer["layer"], layer["config"], left[:count]))
        left = left[count:]
    return found


def refuse(layers, engine, names):
    """Raise UnsupportedLayer for the first layer that is none of `names`."""
    for layer in layers:
        if layer.name not in names:
            raise UnsupportedLayer(layer.name, "%s has no such layer" % engine)


def _check(name, config):
    if name not in KNOWN:
        raise UnsupportedLayer(name, "it is not read for engines that build plain layers")
    options = KNOWN[name][1]
    for option, value in config.items():
        allowed = options.get(option, ())
        if allowed is not None and value not in allowed:
            raise UnsupportedLayer(name, "%s=%s" % (option, value))
    if name == "MaxPooling2D" and list(config.get("strides") or config["pool_size"]) != list(config["pool_size"]):
        raise UnsupportedLayer(name, "strides=%s" % (config["strides"],))
