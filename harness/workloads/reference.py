"""The right answers: a float64 forward pass in NumPy, written from the definitions of the layers.

It is independent of every engine, so that no backend is its own judge, and covers what our workloads use: Conv2D
(stride 1), MaxPooling2D, Flatten, Dense, LSTM, and ensembles of trees. The driver calls `forward` when it writes a bundle.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends.bundle import TREES
from harness.workloads import trees
from harness.workloads.layers import Layer

Array = NDArray[np.float64]
Config = dict[str, Any]


def forward(spec: Sequence[Layer], weights: Sequence[NDArray[Any]], rows: NDArray[Any]) -> Array:
    """Answers (n, outputs) for rows (n, *input_shape). Raises ValueError where weights are left over or too few."""
    x = rows.astype(np.float64)
    left = [weight.astype(np.float64) for weight in weights]
    for layer in spec:
        apply, weight_count = LAYERS[layer["layer"]]
        if len(left) < weight_count:
            raise ValueError(f"no weights left for {layer['layer']}")
        used, left = left[:weight_count], left[weight_count:]
        x = apply(x, used, layer["config"])
    if left:
        raise ValueError(f"{len(left)} weights too many")
    return x


def conv2d(x: Array, weights: list[Array], config: Config) -> Array:
    """(n, h, w, c), kernel (kh, kw, c, f), bias (f,) -> (n, h', w', f): cross-correlation, as Keras has it.

    One matrix product for each offset of the kernel, image by image: a few megabytes where im2col needs gigabytes. Its left
    side is copied to one matrix first: a stack of many small products took 7 times as long (OpenBLAS, 64 to 256 channels).
    """
    kernel, bias = weights
    height, width = kernel.shape[:2]
    if config["padding"] == "same":
        x = np.pad(x, ((0, 0), _same(height), _same(width), (0, 0)))
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    y = np.empty((len(x), rows, columns, kernel.shape[3]))
    for image, out in zip(x, y.reshape(len(x), rows * columns, -1), strict=True):
        out[:] = bias
        for i, j in np.ndindex(height, width):
            out += image[i : i + rows, j : j + columns].reshape(rows * columns, -1) @ kernel[i, j]
    return activation(config["activation"])(y)


def _same(size: int) -> tuple[int, int]:
    # An even kernel pads one more behind than before (TensorFlow's rule for "same", which Keras follows).
    return (size - 1) // 2, size // 2


def max_pooling2d(x: Array, weights: list[Array], config: Config) -> Array:
    """(n, h, w, c) -> (n, h // a, w // b, c); a border that fills no window is dropped."""
    a, b = config["pool_size"]
    n, h, w, c = x.shape
    windows = x[:, : h // a * a, : w // b * b].reshape(n, h // a, a, w // b, b, c)
    return np.asarray(windows.max(axis=(2, 4)))


def flatten(x: Array, weights: list[Array], config: Config) -> Array:
    """(n, ...) -> (n, product), channels moving fastest."""
    return x.reshape(len(x), -1)


def dense(x: Array, weights: list[Array], config: Config) -> Array:
    """(n, features), kernel (features, units), bias (units,) -> (n, units)."""
    kernel, bias = weights
    return activation(config["activation"])(x @ kernel + bias)


def lstm(x: Array, weights: list[Array], config: Config) -> Array:
    """(n, steps, features) -> (n, units), the last hidden state.

    Kernel (features, 4 units), recurrent kernel (units, 4 units) and bias (4 units,) hold input, forget, cell and
    output side by side, in Keras' order.
    """
    kernel, recurrent, bias = weights
    squash, gate = activation(config["activation"]), activation(config["recurrent_activation"])
    h = c = np.zeros((len(x), config["units"]))
    for step in range(x.shape[1]):
        i, f, g, o = np.split(x[:, step] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = gate(f) * c + gate(i) * squash(g)
        h = gate(o) * squash(c)
    return h


def activation(name: str) -> Callable[[Array], Array]:
    """The element-wise function (softmax: over the last axis) that Keras calls `name`."""
    return ACTIVATIONS[name]


def _linear(x: Array) -> Array:
    return x


def _relu(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0.0))


def _tanh(x: Array) -> Array:
    return np.asarray(np.tanh(x))


def _sigmoid(x: Array) -> Array:
    # The same function as 1 / (1 + exp(-x)), without its overflow.
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": _linear,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}
#: A layer's name -> what computes it, and how many weights it takes.
LAYERS: dict[str, tuple[Callable[[Array, list[Array], Config], Array], int]] = {
    "Conv2D": (conv2d, 2),
    "MaxPooling2D": (max_pooling2d, 0),
    "Flatten": (flatten, 0),
    "Dense": (dense, 2),
    "LSTM": (lstm, 3),
    TREES: (trees.forward, 6),
}
