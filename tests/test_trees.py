"""Ensembles of trees: what is read of an engine's file, and what it computes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from harness import workloads
from harness.workloads import digits_trees, digits_trees_xgboost, reference
from harness.workloads.trees import AT_MOST, BELOW, Ensemble, Tree, from_lightgbm, from_xgboost

#: x0 <= 0.1 ? 10 : (x1 <= 5 ? 20 : 30), as LightGBM writes it; 0.1 is no float32
LIGHTGBM = """tree
num_class=1
num_tree_per_iteration=1

Tree=0
num_leaves=3
split_feature=0 1
threshold=0.10000000000000001 5
decision_type=2 2
left_child=-1 -2
right_child=1 -3
leaf_value=10 20 30
shrinkage=1


end of trees
"""


def answers(ensemble: Ensemble, rows: Any) -> list[float]:
    return reference.forward([ensemble.layer], ensemble.weights, np.array(rows, np.float32)).ravel().tolist()


def walked(tree: Tree, goes_left: str, row: list[float]) -> float:
    """One tree from its definition."""
    at = 0
    while tree.feature[at] != -1:
        found, limit = row[tree.feature[at]], tree.threshold[at]
        at = tree.left[at] if found < limit or (goes_left == AT_MOST and found == limit) else tree.right[at]
    return tree.value[at]


def test_a_tree_of_lightgbm_goes_left_at_its_threshold() -> None:
    found = from_lightgbm(LIGHTGBM)
    assert answers(found, [[0.0, 9.0], [1.0, 5.0], [1.0, 5.5]]) == [10.0, 20.0, 30.0]


def test_a_threshold_that_is_no_float32_parts_the_same_float32_numbers() -> None:
    found = from_lightgbm(LIGHTGBM)
    below, above = float(np.nextafter(np.float32(0.1), np.float32(0))), float(np.float32(0.1))
    assert below <= 0.1 < above  # as LightGBM compares, in float64
    assert answers(found, [[below, 9.0], [above, 5.0]]) == [10.0, 20.0]


def test_a_tree_of_xgboost_goes_right_at_its_threshold() -> None:
    tree = Tree(feature=[0, -1, -1], threshold=[0.5, 0.0, 0.0], left=[1, 1, 2], right=[2, 1, 2], value=[0.0, 1.0, 2.0])
    assert answers(Ensemble(trees=(tree,), outputs=1, goes_left=BELOW), [[0.25], [0.5]]) == [1.0, 2.0]
    assert answers(Ensemble(trees=(tree,), outputs=1, goes_left=AT_MOST), [[0.25], [0.5]]) == [1.0, 1.0]


@pytest.mark.parametrize("ensemble", [digits_trees.ensemble(), digits_trees_xgboost.ensemble()], ids=["lightgbm", "xgboost"])
def test_a_committed_ensemble_adds_up_its_trees(ensemble: Ensemble) -> None:
    rows = workloads.get("digits-trees").rows()[:5]
    wanted = [
        sum(walked(tree, ensemble.goes_left, row.tolist()) for tree in ensemble.trees[output :: ensemble.outputs])
        for row in rows
        for output in range(ensemble.outputs)
    ]
    assert answers(ensemble, rows) == pytest.approx(wanted, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("old", "new"),
    [("decision_type=2 2", "decision_type=2 1"), ("decision_type=2 2", "decision_type=2 6"), ("Tree=0", "Bush=0")],
    ids=["categories", "missing is zero", "no tree"],
)
def test_what_is_not_read_of_lightgbm_is_refused(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=r"not read here|no model"):
        from_lightgbm(LIGHTGBM.replace(old, new))


def test_what_xgboost_adds_to_its_trees_is_refused() -> None:
    told = json.loads(digits_trees_xgboost.MODEL_FILE.read_text())
    told["learner"]["learner_model_param"]["base_score"] = "[5E-1]"
    with pytest.raises(ValueError, match="adds"):
        from_xgboost(json.dumps(told))
