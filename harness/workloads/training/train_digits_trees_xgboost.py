"""Trains digits-trees-xgboost and writes data/digits_trees_xgboost.json. Needs XGBoost; run once, the file is committed.

    python -m harness.workloads.training.train_digits_trees_xgboost      (in the xgboost environment)

Ten regressions in one, each on whether it is that digit: their sums are the answers, as no softmax is put on them. Training
sees only the training part; the accuracy on the held-out part is printed and held to MINIMUM_ACCURACY.
"""

import numpy as np
import xgboost

from harness.workloads import digits

MODEL_FILE = digits.DATA / "digits_trees_xgboost.json"
ROUNDS = 10
CLASSES = 10
MINIMUM_ACCURACY = 0.93
PARAMETERS = {"max_depth": 4, "eta": 0.3, "base_score": 0.0, "tree_method": "hist", "nthread": 1, "seed": 1}


def main() -> None:
    """Train, check, write."""
    images, labels = digits.train()
    data = xgboost.DMatrix(images.reshape(len(images), -1), label=np.eye(CLASSES)[labels])
    booster = xgboost.train({**PARAMETERS, "objective": "reg:squarederror"}, data, num_boost_round=ROUNDS)
    images, labels = digits.test()
    accuracy = (booster.predict(xgboost.DMatrix(images.reshape(len(images), -1))).argmax(axis=1) == labels).mean()
    print(f"accuracy on the held-out digits: {accuracy:.4f}")
    if accuracy < MINIMUM_ACCURACY:
        raise SystemExit(f"error: below {MINIMUM_ACCURACY}, the trees are not written")
    booster.save_model(MODEL_FILE)


if __name__ == "__main__":
    main()
