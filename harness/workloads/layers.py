"""The layers our workloads are made of: their names as data, and the shapes they give and need.

A layer is what model.json holds of it: {"layer": "Dense", "config": {...}}, with names and values that Keras 2.2.4,
2.3.1 and 3 share. Everything that defaults differently between them, or that ~/.keras/keras.json can change, is
spelled out. `reference` computes the same layers, `initial_weights` fills the weights. An ensemble of trees
is a layer that no Keras knows, see `trees`.
"""

import math
from typing import Any, TypedDict

from harness.backends import bundle

Shape = tuple[int, ...]


class Layer(TypedDict):
    """One layer of model.json."""

    layer: str
    config: dict[str, Any]


def conv2d(filters: int, size: int, activation: str) -> Layer:
    """A convolution with zero padding, (h, w, channels) -> (h, w, filters)."""
    config = {
        "filters": filters,
        "kernel_size": [size, size],
        "padding": "same",
        "activation": activation,
        "data_format": "channels_last",
    }
    return {"layer": "Conv2D", "config": config}


def max_pooling2d(size: int) -> Layer:
    """(h, w, channels) -> (h // size, w // size, channels)."""
    return {"layer": "MaxPooling2D", "config": {"pool_size": [size, size], "data_format": "channels_last"}}


def flatten() -> Layer:
    """All but the batch in one axis, channels moving fastest."""
    return {"layer": "Flatten", "config": {}}


def dense(units: int, activation: str) -> Layer:
    """(features,) -> (units,)."""
    return {"layer": "Dense", "config": {"units": units, "activation": activation}}


def lstm(units: int) -> Layer:
    """(steps, features) -> (units,), the state after the last step; Keras 2 squashes its gates differently by default."""
    return {"layer": "LSTM", "config": {"units": units, "activation": "tanh", "recurrent_activation": "sigmoid"}}


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """The shape of one row's output, from the shape of its input."""
    config = layer["config"]
    match layer["layer"]:
        case "Conv2D":
            sizes = zip(shape[:2], config["kernel_size"], strict=True)
            return *(_convolved(n, k, config) for n, k in sizes), config["filters"]
        case "MaxPooling2D":
            return *(n // k for n, k in zip(shape[:2], config["pool_size"], strict=True)), shape[2]
        case "Flatten":
            return (math.prod(shape),)
        case "Dense":
            return *shape[:-1], config["units"]
        case "LSTM":
            return (config["units"],)
        case bundle.TREES:
            return (config["outputs"],)
        case other:
            raise ValueError(f"no workload of ours uses the layer {other!r}")


def weight_shapes(layer: Layer, shape: Shape) -> list[Shape]:
    """The shapes of a layer's weights in Keras' order, from the shape of one row of its input."""
    config = layer["config"]
    match layer["layer"]:
        case "Conv2D":
            return [(*config["kernel_size"], shape[2], config["filters"]), (config["filters"],)]
        case "Dense":
            return [(shape[-1], config["units"]), (config["units"],)]
        case "LSTM":
            gates = 4 * config["units"]
            return [(shape[-1], gates), (config["units"], gates), (gates,)]
        case bundle.TREES:
            return [(config["trees"],), *[(config["nodes"],)] * 5]
        case _:
            return []


def _convolved(size: int, kernel: int, config: dict[str, Any]) -> int:
    return size if config["padding"] == "same" else size - kernel + 1
