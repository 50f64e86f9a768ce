"""When an answer is right, and whether a wrong one would be noticed."""

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInput

#: (rtol, atol) by the type the model computes in. A dot product of n terms errs by at most about n unit roundoffs u
#: (N. Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), by about sqrt(n) in practice. float32 has
#: u = 6e-8, our longest sum 6400 terms: hence 1e-4. The largest error seen on any backend is a sixth of that, at
#: answers of 26. The half precisions (u = 5e-4 and 4e-3) are judged against their own serial answer: 20 u.
TOLERANCES = {"float32": (1e-4, 1e-4), "float16": (1e-2, 1e-2), "bfloat16": (8e-2, 8e-2)}

#: Answers of two rows must differ by this many tolerances, so that a crossed answer cannot be taken for rounding.
DISTANCE = 20.0


def tolerance(dtype: str) -> tuple[float, float]:
    """(rtol, atol): an answer is right where |answer - reference| <= atol + rtol * |reference|, as in np.isclose."""
    if dtype not in TOLERANCES:
        raise BadInput(f"no tolerance is known for models in {dtype}", remedy=f"Known: {', '.join(TOLERANCES)}.")
    return TOLERANCES[dtype]


def indistinct_pairs(reference: NDArray[np.float64], dtype: str) -> int:
    """How many pairs of rows of `reference` (n, ...) have no element that differs by DISTANCE tolerances."""
    rtol, atol = tolerance(dtype)
    flat = reference.reshape(len(reference), -1)
    limits = DISTANCE * (atol + rtol * np.abs(flat))
    return sum(int((np.abs(flat[i + 1 :] - row) <= limits[i]).all(axis=1).sum()) for i, row in enumerate(flat))
