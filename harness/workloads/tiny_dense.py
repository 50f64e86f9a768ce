"""tiny-dense: one small dense layer on 8 x 8 digits, the least model that is one.

Hang thresholds depend on size: public threads tell of a 7 x 7 matrix that passes and an 8 x 8 that hangs after the same
fork, because an engine computes small things in the calling thread and hands only large ones to its pool. So a claim about
hangs is tried on this, too: 640 multiply-adds a row. Untrained. The last layer is linear: logits keep rows apart, and an
answer that belongs to another request shows.
"""

from functools import partial

from harness.workloads import digits
from harness.workloads.initial_weights import random_weights
from harness.workloads.layers import Shape, dense
from harness.workloads.workload import Workload

SPEC = (dense(10, "linear"),)
INPUT_SHAPE: Shape = (64,)
SEED = 640


def rows() -> digits.Rows:
    """The held-out digits as flat rows, (256, 64)."""
    images, _ = digits.test()
    return images.reshape(len(images), *INPUT_SHAPE)


WORKLOAD = Workload(
    name="tiny-dense",
    summary="one small dense layer; nothing an engine would share out among threads",
    spec=SPEC,
    input_shape=INPUT_SHAPE,
    weights=partial(random_weights, SPEC, INPUT_SHAPE, SEED),
    rows=rows,
)
