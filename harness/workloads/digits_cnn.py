"""digits-cnn: a small trained convolutional net that reads 8 x 8 digits, the model of a first deployment.

So small that a predict is mostly Python: it shows what a pool and a call cost. Its weights were trained by
training/train_digits_cnn.py; its rows are the held-out test set, so its accuracy can be checked on every backend. The
last layer is linear: logits keep apart what softmax would press together, and an answer that belongs to another
request shows.
"""

import numpy as np

from harness.workloads import digits
from harness.workloads.initial_weights import Weights
from harness.workloads.layers import conv2d, dense, flatten, max_pooling2d
from harness.workloads.workload import Workload

WEIGHTS_FILE = digits.DATA / "digits_cnn.npz"


def trained_weights() -> Weights:
    """The committed weights, in get_weights() order."""
    with np.load(WEIGHTS_FILE) as file:
        return [file[name] for name in sorted(file.files)]


WORKLOAD = Workload(
    name="digits-cnn",
    summary="small trained CNN on 8 x 8 digits; a predict is mostly Python",
    spec=(
        conv2d(16, 3, "relu"),
        conv2d(16, 3, "relu"),
        max_pooling2d(2),
        conv2d(32, 3, "relu"),
        max_pooling2d(2),
        flatten(),
        dense(10, "linear"),
    ),
    input_shape=(8, 8, 1),
    weights=trained_weights,
    rows=lambda: digits.test()[0],
    labels=lambda: digits.test()[1],
)
