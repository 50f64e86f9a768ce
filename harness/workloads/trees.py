"""Ensembles of decision trees: read from the files of the engines that trained them, and computed in float64.

An ensemble is one layer, `TreeEnsemble`, with six arrays as its weights. All trees' nodes stand one after the other, a tree's
root first:

    root       (trees,) int32     where each tree begins
    feature    (nodes,) int32     which feature of the row decides; LEAF at a leaf
    threshold  (nodes,) float32   left if the feature is at most this (LightGBM), or below it (XGBoost)
    left, right (nodes,) int32    the next node
    value      (nodes,) float32   of a leaf: what it adds to its output

Tree t adds to output t % outputs, as both engines order them. Whoever writes such a file for another engine finds the same
numbers here: float32 throughout, so that an engine that computes in float32 (ONNX Runtime) walks the same way.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends.bundle import TREES
from harness.workloads.layers import Layer

Array = NDArray[np.float64]
LEAF = -1
AT_MOST, BELOW = "<=", "<"
CATEGORICAL, MISSING_IS_ZERO = 1, 4  # bits of LightGBM's decision_type (its include/LightGBM/tree.h); 12 masks the second


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One tree; `left` and `right` count from its own root, which is node 0."""

    feature: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]
    value: list[float]


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Trees that add up to `outputs` numbers. `goes_left`: AT_MOST or BELOW."""

    trees: tuple[Tree, ...]
    outputs: int
    goes_left: str

    @property
    def layer(self) -> Layer:
        """What model.json says of it."""
        nodes = sum(len(tree.feature) for tree in self.trees)
        config = {"outputs": self.outputs, "trees": len(self.trees), "nodes": nodes, "goes_left": self.goes_left}
        return {"layer": TREES, "config": config}

    @property
    def weights(self) -> list[NDArray[Any]]:
        """The six arrays."""
        sizes = [len(tree.feature) for tree in self.trees]
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
        pairs = list(zip(self.trees, map(int, roots), strict=True))
        left = [node + root for tree, root in pairs for node in tree.left]
        right = [node + root for tree, root in pairs for node in tree.right]
        feature = [number for tree in self.trees for number in tree.feature]
        threshold = [number for tree in self.trees for number in tree.threshold]
        value = [number for tree in self.trees for number in tree.value]
        whole = [np.array(numbers, np.int32) for numbers in (feature, left, right)]
        return [roots, whole[0], np.array(threshold, np.float32), *whole[1:], np.array(value, np.float32)]


def forward(x: Array, weights: Sequence[NDArray[Any]], config: dict[str, Any]) -> Array:
    """(n, features) -> (n, outputs): every row walks down every tree, and the leaves are added up."""
    root, feature, threshold, left, right, value = weights
    root, feature, left, right = (each.astype(np.int64) for each in (root, feature, left, right))
    rows = np.arange(len(x))[:, np.newaxis]
    at = np.broadcast_to(root, (len(x), len(root)))
    while (feature[at] != LEAF).any():
        inner, found = feature[at] != LEAF, x[rows, np.maximum(feature[at], 0)]
        goes_left = found <= threshold[at] if config["goes_left"] == AT_MOST else found < threshold[at]
        at = np.where(inner, np.where(goes_left, left[at], right[at]), at)
    leaves = value[at].astype(np.float64)
    return np.stack([leaves[:, output :: config["outputs"]].sum(axis=1) for output in range(config["outputs"])], axis=1)


def from_lightgbm(text: str) -> Ensemble:
    """What LightGBM's `save_model` wrote. Raises ValueError where a split is none that is read here."""
    outputs = re.search(r"^num_tree_per_iteration=(\d+)$", text, re.MULTILINE)
    blocks = re.findall(r"^Tree=\d+\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    if outputs is None or not blocks:
        raise ValueError("this is no model of LightGBM's")
    trees = tuple(_lightgbm_tree(dict(line.split("=", 1) for line in block.splitlines())) for block in blocks)
    return Ensemble(trees=trees, outputs=int(outputs[1]), goes_left=AT_MOST)


def _lightgbm_tree(told: dict[str, str]) -> Tree:
    """Inner nodes come first, then the leaves: LightGBM counts both from 0, and a leaf as a child is -1 - its number."""
    leaves = [float(number) for number in told["leaf_value"].split()]
    feature, threshold = told.get("split_feature", "").split(), told.get("threshold", "").split()
    for kind in map(int, told.get("decision_type", "").split()):
        if kind & CATEGORICAL or kind & 12 == MISSING_IS_ZERO:
            raise ValueError(f"a split of the kind {kind} is not read here")
    inner = len(feature)

    def children(name: str) -> list[int]:
        found = [int(number) for number in told.get(name, "").split()]
        return [*(child if child >= 0 else inner - 1 - child for child in found), *range(inner, inner + len(leaves))]

    return Tree(
        feature=[*map(int, feature), *[LEAF] * len(leaves)],
        threshold=[*(_at_most(float(number)) for number in threshold), *[0.0] * len(leaves)],
        left=children("left_child"), right=children("right_child"), value=[*[0.0] * inner, *leaves],
    )  # fmt: skip


def _at_most(threshold: float) -> float:
    """The largest float32 that is not above: the same float32 numbers are at most this as are at most the threshold."""
    near = np.float32(threshold)
    return float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))


def from_xgboost(text: str) -> Ensemble:
    """What XGBoost's `save_model` wrote as JSON. Raises ValueError if it adds something to the trees."""
    learner = json.loads(text)["learner"]
    base = {float(number) for number in learner["learner_model_param"]["base_score"].strip("[]").split(",")}
    if base != {0.0}:
        raise ValueError(f"the model adds {base} to its trees")
    model = learner["gradient_booster"]["model"]
    outputs = max(model["tree_info"]) + 1
    if any(number != place % outputs for place, number in enumerate(model["tree_info"])):
        raise ValueError("the trees stand in another order")
    return Ensemble(trees=tuple(_xgboost_trees(model["trees"])), outputs=outputs, goes_left=BELOW)


def _xgboost_trees(trees: Sequence[dict[str, Any]]) -> Iterator[Tree]:
    """A leaf has no children, and its value where others have their threshold."""
    for tree in trees:
        leaf = [child == -1 for child in tree["left_children"]]
        nodes = list(zip(leaf, tree["split_indices"], tree["split_conditions"], strict=True))
        yield Tree(
            feature=[LEAF if is_leaf else feature for is_leaf, feature, _ in nodes],
            threshold=[0.0 if is_leaf else number for is_leaf, _, number in nodes],
            left=[place if leaf[place] else child for place, child in enumerate(tree["left_children"])],
            right=[place if leaf[place] else child for place, child in enumerate(tree["right_children"])],
            value=[number if is_leaf else 0.0 for is_leaf, _, number in nodes],
        )
