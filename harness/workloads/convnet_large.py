"""convnet-large: convolutions on 64 x 64 pixels, heavy enough that a predict is arithmetic and not Python.

5.1 billion multiply-adds a row. Measured on 2 cores (x86-64 with AVX-512, 2.6 GHz) with Keras 3.15.1 on TensorFlow
2.21, one row a call, medians of 40 calls in 3 processes: `model(x)` takes 52 ms. The same layers with one filter
each, where hardly anything but Python and dispatch is left, take 4.5 ms: 91 % of a call is arithmetic. In `predict`
(83-90 ms, 38-48 ms of it with one filter) it is about half. On more or faster cores the share is smaller.

Untrained. The last layer is linear: logits keep rows apart, and an answer that belongs to another request shows.
"""

from functools import partial

from harness.workloads import digits
from harness.workloads.initial_weights import random_weights
from harness.workloads.layers import Shape, conv2d, dense, flatten, max_pooling2d
from harness.workloads.workload import Workload

SPEC = (
    conv2d(64, 5, "relu"),
    conv2d(256, 5, "relu"),
    max_pooling2d(2),
    conv2d(512, 5, "relu"),
    max_pooling2d(4),
    flatten(),
    dense(10, "linear"),
)
INPUT_SHAPE: Shape = (64, 64, 1)
SEED = 4096
ROW_COUNT = 16  # the float64 reference takes 0.25 s a row
MAGNIFICATION = 8


def rows() -> digits.Rows:
    """Held-out digits, each pixel a square of 8 x 8 pixels, (16, 64, 64, 1)."""
    images = digits.test()[0][:ROW_COUNT]
    return images.repeat(MAGNIFICATION, axis=1).repeat(MAGNIFICATION, axis=2)


WORKLOAD = Workload(
    name="convnet-large",
    summary="large convolutions on 64 x 64 pixels; a predict is mostly arithmetic",
    spec=SPEC,
    input_shape=INPUT_SHAPE,
    weights=partial(random_weights, SPEC, INPUT_SHAPE, SEED),
    rows=rows,
)
