"""Seeds: one for each purpose, all from the experiment's one `seed`, so that changing one thing leaves the others' dice alone.

Derived as numpy.random.SeedSequence derives the seeds of its children (by a spawn key), so two purposes never share a stream.
A trial's number is part of the key: repeated trials meet other arrivals. A cell's name is not: in the same trial all cells
meet the same arrivals, so that they differ by what they are and not by chance (common random numbers).
"""

from __future__ import annotations

import numpy as np

PURPOSES = ("order", "arrivals", "rows", "turns")  # append only: the place is the key


def seed_for(purpose: str, seed: int, trial: int = 0) -> int:
    """The seed for one purpose in one trial, below 2^32; `trial` 0: of the whole run.

    >>> seed_for("arrivals", 1, 1) == seed_for("arrivals", 1, 1)
    True
    >>> len({seed_for(purpose, 1, trial) for purpose in PURPOSES for trial in range(5)})
    20
    """
    sequence = np.random.SeedSequence(abs(seed), spawn_key=(PURPOSES.index(purpose), int(seed < 0), trial))
    return int(sequence.generate_state(1)[0])


def dice(purpose: str, seed: int, trial: int = 0) -> np.random.Generator:
    """The dice that are thrown for that purpose."""
    return np.random.default_rng(seed_for(purpose, seed, trial))
