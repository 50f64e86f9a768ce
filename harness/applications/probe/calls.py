"""How often a probe calls the task: what is to be expected, and how many calls each trial gets if they are bounded. Pure.

A task may write to a file or a database at each call. With `--max-calls`, a tenth of them are serial calls, and the pools share
the rest; no warm-up is made, no witness is started, and no pool is measured a second time. Kept back is one call for each row
and trial: after it, the serial calls are made once more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import BadInput

SERIAL_SHARE = 0.1
LEAST_SERIAL = 2
ROUNDS = 4  # of the first requests, until each executor has answered
QUICKEST_S = 1e-3  # of a request, whatever a call takes: what Celery costs with two executors


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Of the calls: for the serial calls, and for each trial of a pool."""

    serial: int
    trial: int


def shares(most: int, *, rows: int, trials: int) -> Shares:
    """Raises BadInput if there are too few.

    >>> shares(1000, rows=2, trials=6)
    Shares(serial=100, trial=148)
    """
    serial = max(LEAST_SERIAL, int(SERIAL_SHARE * most))
    trial = (most - serial - rows * trials) // max(1, trials)
    if trial < 1:
        least = LEAST_SERIAL + (rows + 1) * trials
        raise BadInput(
            f"--max-calls {most}: {trials} trials of {rows} rows need {max(least, most + 1)} or more",
            remedy="raise it, or name fewer --pools or rows",
        )
    return Shares(serial=serial, trial=trial)


def announced(most: int | None, *, search: bool) -> str:
    """How often the task will be called at the most, before its first call. `search`: by a verb that cannot bound it.

    >>> announced(1000, search=False)
    'the task is called 1,000 times at the most, for real'
    """
    if most is not None:
        return f"the task is called {most:,} times at the most, for real"
    often = "the task is called for real, without Celery for some seconds first, and then by each pool"
    return f"{often}, as often as it answers in its time" if search else f"{often}; --max-calls bounds how often"


def most(each_s: float, warm_s: float, measure_s: float, least: int, in_flight: int) -> int:
    """How many calls a trial makes at the most, roughly. Fewer, if others keep the machine busy.

    `each_s`: from one to the next, in the pool; `warm_s`: of the warm-up until the pace is stable, before which some rounds of
    `in_flight` requests reach all executors; `least`: that are measured, however long they take.

    >>> most(0.004, 3.0, 3.0, 50, 4), most(0.0, 3.0, 3.0, 50, 4), most(1.0, 3.0, 3.0, 50, 4)
    (1516, 6016, 69)
    """
    quick_s = max(each_s, QUICKEST_S)
    return ROUNDS * in_flight + math.ceil(warm_s / quick_s) + max(least, math.ceil(measure_s / quick_s))
