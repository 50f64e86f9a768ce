"""Writes data/digits.npz from scikit-learn's copy of the digits. Needs scikit-learn.

Run once, with `python -m harness.workloads.training.dump_digits`; the file is committed.
"""

import numpy as np
from sklearn.datasets import load_digits

from harness.workloads.digits import FILE


def main() -> None:
    """images (1797, 8, 8) uint8 from 0 to 16, labels (1797,) uint8 from 0 to 9, in scikit-learn's order."""
    data = load_digits()
    np.savez_compressed(FILE, images=data.images.astype(np.uint8), labels=data.target.astype(np.uint8))


if __name__ == "__main__":
    main()
