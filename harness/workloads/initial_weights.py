"""Weights for the workloads that are not trained: seeded, and scaled so that activations stay of order 1.

A trained model would cost as much time to predict; what matters is that answers differ from row to row and neither
vanish nor overflow. RandomState's stream is frozen by NumPy (NEP 19), so every machine gets the same weights.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.workloads.layers import Layer, Shape, output_shape, weight_shapes

Weights = list[NDArray[Any]]  # float32, and the int32 numbers of an ensemble's nodes
BIAS_SCALE = 0.1  # not zero: a backend that drops or misplaces a bias must answer differently


def random_weights(spec: Sequence[Layer], input_shape: Shape, seed: int) -> Weights:
    """Weights in `get_weights()` order for the layers of `spec`, on rows of `input_shape`."""
    stream = np.random.RandomState(seed)
    weights: Weights = []
    shape = input_shape
    for layer in spec:
        for weight_shape in weight_shapes(layer, shape):
            scale = _scale(layer["config"], weight_shape)
            weights.append((stream.standard_normal(weight_shape) * scale).astype(np.float32))
        shape = output_shape(layer, shape)
    return weights


def _scale(config: dict[str, Any], shape: Shape) -> float:
    """Standard deviation: He et al. 2015 before a ReLU, LeCun's 1 / fan_in (Glorot with equal fans) elsewhere."""
    if len(shape) == 1:
        return BIAS_SCALE
    fan_in = math.prod(shape[:-1])
    return math.sqrt((2.0 if config["activation"] == "relu" else 1.0) / fan_in)
