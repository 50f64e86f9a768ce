"""The data all workloads share: 1797 handwritten digits of 8 x 8 pixels, in data/digits.npz.

They are the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning
Repository), as scikit-learn ships them; training/dump_digits.py wrote the file. The last TEST_COUNT of a seeded
shuffle are held out from training.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"
FILE = DATA / "digits.npz"
SPLIT_SEED = 20170505
TEST_COUNT = 256
BRIGHTEST = 16  # a pixel counts the dark dots of a 4 x 4 cell

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]


def train() -> tuple[Rows, Labels]:
    """Images (1541, 8, 8, 1) in [0, 1] and the digits they show."""
    return _part(slice(None, -TEST_COUNT))


def test() -> tuple[Rows, Labels]:
    """The held-out images (256, 8, 8, 1) in [0, 1] and the digits they show."""
    return _part(slice(-TEST_COUNT, None))


def _part(which: slice) -> tuple[Rows, Labels]:
    with np.load(FILE) as file:
        images, labels = file["images"], file["labels"]
    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))[which]
    return (images[order] / np.float32(BRIGHTEST))[..., np.newaxis].astype(np.float32), labels[order].astype(np.int64)
