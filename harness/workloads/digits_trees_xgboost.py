"""digits-trees-xgboost: the like of digits-trees for XGBoost, which goes left below a threshold, and LightGBM at it, too.

Trained by training/train_digits_trees_xgboost.py, whose file is committed; ONNX Runtime is given the same trees.
"""

from functools import cache

from harness.backends import bundle
from harness.workloads import digits
from harness.workloads.digits_mlp import INPUT_SHAPE, rows
from harness.workloads.trees import Ensemble, from_xgboost
from harness.workloads.workload import Workload

MODEL_FILE = digits.DATA / "digits_trees_xgboost.json"


@cache
def ensemble() -> Ensemble:
    """The committed trees."""
    return from_xgboost(MODEL_FILE.read_text())


WORKLOAD = Workload(
    name="digits-trees-xgboost",
    summary="ensemble of trees on 8 x 8 digits, trained with XGBoost; a predict is mostly Python",
    spec=(ensemble().layer,),
    input_shape=INPUT_SHAPE,
    weights=lambda: ensemble().weights,
    rows=rows,
    labels=lambda: digits.test()[1],
    files={bundle.XGBOOST: MODEL_FILE},
)
