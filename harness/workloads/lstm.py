"""lstm: a recurrent net that reads a digit line by line, 8 steps of 8 features.

Small matrix products in a loop that the engine runs itself, each waiting for the one before: threads inside the engine
have little to share out. Untrained. The last layer is linear: logits keep rows apart, and an answer that belongs to
another request shows.
"""

from functools import partial

from harness.workloads import digits
from harness.workloads.initial_weights import random_weights
from harness.workloads.layers import Shape, dense
from harness.workloads.layers import lstm as lstm_layer
from harness.workloads.workload import Workload

SPEC = (lstm_layer(128), dense(10, "linear"))
INPUT_SHAPE: Shape = (8, 8)
SEED = 8


def rows() -> digits.Rows:
    """The held-out digits as sequences of lines, (256, 8, 8)."""
    images, _ = digits.test()
    return images.reshape(len(images), *INPUT_SHAPE)


WORKLOAD = Workload(
    name="lstm",
    summary="recurrent net over the 8 lines of a digit; a loop inside the engine",
    spec=SPEC,
    input_shape=INPUT_SHAPE,
    weights=partial(random_weights, SPEC, INPUT_SHAPE, SEED),
    rows=rows,
)
