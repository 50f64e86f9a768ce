"""digits-trees: an ensemble of trees that reads 8 x 8 digits, for the engines without layers.

Trained by training/train_digits_trees.py with LightGBM, whose file is committed; ONNX Runtime is given the same trees. Its
answers are the trees' sums, as the other workloads' are logits: probabilities would press rows together, and an answer that
belongs to another request would not show.
"""

from functools import cache

from harness.backends import bundle
from harness.workloads import digits
from harness.workloads.digits_mlp import INPUT_SHAPE, rows
from harness.workloads.trees import Ensemble, from_lightgbm
from harness.workloads.workload import Workload

MODEL_FILE = digits.DATA / "digits_trees.txt"


@cache
def ensemble() -> Ensemble:
    """The committed trees."""
    return from_lightgbm(MODEL_FILE.read_text())


WORKLOAD = Workload(
    name="digits-trees",
    summary="ensemble of trees on 8 x 8 digits, trained with LightGBM; a predict is mostly Python",
    spec=(ensemble().layer,),
    input_shape=INPUT_SHAPE,
    weights=lambda: ensemble().weights,
    rows=rows,
    labels=lambda: digits.test()[1],
    files={bundle.LIGHTGBM: MODEL_FILE},
)
