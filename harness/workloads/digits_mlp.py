"""digits-mlp: wide dense layers on 8 x 8 digits, the model whose time is the BLAS library's.

4.3 million weights are read for every call, whatever the batch: with one row memory bandwidth is the limit, with many
rows arithmetic is, so the batch size matters here more than elsewhere. Untrained. The last layer is linear: logits keep
rows apart, and an answer that belongs to another request shows.
"""

from functools import partial

from harness.workloads import digits
from harness.workloads.initial_weights import random_weights
from harness.workloads.layers import Shape, dense
from harness.workloads.workload import Workload

SPEC = (dense(2048, "relu"), dense(2048, "relu"), dense(10, "linear"))
INPUT_SHAPE: Shape = (64,)
SEED = 64


def rows() -> digits.Rows:
    """The held-out digits as flat rows, (256, 64)."""
    images, _ = digits.test()
    return images.reshape(len(images), *INPUT_SHAPE)


WORKLOAD = Workload(
    name="digits-mlp",
    summary="wide dense layers; bound by memory at batch 1 and by BLAS above",
    spec=SPEC,
    input_shape=INPUT_SHAPE,
    weights=partial(random_weights, SPEC, INPUT_SHAPE, SEED),
    rows=rows,
)
