"""Builds a bundle's model with whichever Keras it is handed: 2.2.4, 2.3.1 or 3. Used by every Keras backend.

Only the layer list is turned into a model here; nothing is compiled, warmed up or predicted.
"""

from harness.backends import UnsupportedLayer, bundle

# What a Keras raises when it knows a layer but not this configuration, or not on this engine.
REFUSALS = (TypeError, ValueError, NotImplementedError, RuntimeError)


def build(keras, spec):
    """A `Sequential` from model.json's layer list, weights not yet set. Raises UnsupportedLayer."""
    if spec["layers"] is None:
        raise UnsupportedLayer(spec["unsupported"], spec.get("reason", ""))
    model = keras.models.Sequential()
    # The one spelling that all three Keras take without a word: `shape` is new, `input_shape` is deprecated.
    model.add(keras.layers.InputLayer(batch_input_shape=(None,) + tuple(spec["input_shape"])))
    for layer in spec["layers"]:
        add(keras, model, layer["layer"], layer["config"])
    return model


def add(keras, model, name, config):
    kind = getattr(keras.layers, name, None)
    if kind is None:
        raise UnsupportedLayer(name, "Keras %s has no such layer" % keras.__version__)
    try:
        model.add(kind(**config))
    except REFUSALS as error:
        raise UnsupportedLayer(name, "Keras %s: %s" % (keras.__version__, error))


def build_bare(keras, bundle_dir):
    """The bundle's model as its layers make it, with weights that Keras chose at random."""
    return build(keras, bundle.read_model(bundle_dir))


def build_with_weights(keras, bundle_dir):
    """The bundle's model from its layers and weights, whatever model file lies beside them."""
    model = build(keras, bundle.read_model(bundle_dir))
    model.set_weights(bundle.read_weights(bundle_dir))
    return model
