"""Trains digits-trees and writes data/digits_trees.txt. Needs LightGBM; run once, the file is committed.

    python -m harness.workloads.training.train_digits_trees      (in the lightgbm environment)

The objective is softmax's, told as a function: so the file names none, and `predict` gives the trees' sums. Leaves are rounded
to float32, the type in which ONNX Runtime has them. Training sees only the training part; the accuracy on the held-out part is
printed and held to MINIMUM_ACCURACY.
"""

import lightgbm
import numpy as np
from numpy.typing import NDArray

from harness.workloads import digits

MODEL_FILE = digits.DATA / "digits_trees.txt"
ROUNDS = 10
CLASSES = 10
MINIMUM_ACCURACY = 0.93
PARAMETERS = {"num_class": CLASSES, "num_leaves": 10, "learning_rate": 0.3, "verbosity": -1, "seed": 1, "num_threads": 1}
Array = NDArray[np.float64]


def softmax(scores: Array, data: lightgbm.Dataset) -> tuple[Array, Array]:
    """Gradient and Hessian (n, classes) of softmax's cross entropy, the latter with LightGBM's factor."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return p - np.eye(CLASSES)[data.get_label().astype(int)], CLASSES / (CLASSES - 1) * p * (1 - p)


def main() -> None:
    """Train, round, check, write."""
    images, labels = digits.train()
    data = lightgbm.Dataset(images.reshape(len(images), -1), label=labels)
    booster = lightgbm.train({**PARAMETERS, "objective": softmax}, data, num_boost_round=ROUNDS)
    for tree, told in enumerate(booster.dump_model()["tree_info"]):
        for leaf in range(told["num_leaves"]):
            booster.set_leaf_output(tree, leaf, float(np.float32(booster.get_leaf_output(tree, leaf))))
    images, labels = digits.test()
    accuracy = (booster.predict(images.reshape(len(images), -1)).argmax(axis=1) == labels).mean()
    print(f"accuracy on the held-out digits: {accuracy:.4f}")
    if accuracy < MINIMUM_ACCURACY:
        raise SystemExit(f"error: below {MINIMUM_ACCURACY}, the trees are not written")
    booster.save_model(MODEL_FILE, importance_type="split")


if __name__ == "__main__":
    main()
