"""The grid of somebody's own application: what a search may vary of its worker, read from options. Pure."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterable, Sequence

from harness.errors import BadInput
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.experiment.pools import POOLS

VARY = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<values>.*)", re.DOTALL)
LARGEST = 500  # configurations: a search that is asked for more has been asked for a mistake, most likely


def cells(
    workload: str, traffic: str, *, pools: Sequence[str], concurrency: Sequence[int], prefetch: Sequence[int] = (),
    max_tasks: Sequence[int] = (), variables: Sequence[str] = (),
) -> tuple[Cell, ...]:  # fmt: skip
    """Every combination that can exist. Raises BadInput for too many, and for two whose ids are one.

    `prefetch` and `max_tasks` are empty if the application's own settings stay; `variables`: as in `Cell.variables`.
    """
    found = {
        Cell(
            backend=OWN_APP, pool=pool, concurrency=1 if POOLS[pool].executors == "main" else count, placement=AS_WRITTEN,
            call="task", workload=workload, traffic=traffic, prefetch=taken,
            max_tasks=kept if POOLS[pool].executors == "processes" else 0, variables=given,
        ): None
        for pool, count, taken, kept, given in itertools.product(
            pools, concurrency, prefetch or (4,), max_tasks or (0,), variables or ("",)
        )
    }  # fmt: skip
    if len(found) > LARGEST:
        raise BadInput(f"{len(found)} configurations are more than {LARGEST}", remedy="vary less, or fewer values of it")
    alike = [one for one in found if sum(other.id == one.id for other in found) > 1]
    if alike:
        texts = " and ".join(repr(one.variables) for one in alike[:2])
        raise BadInput(f"--vary: {texts} cannot be told apart by name", remedy="give values that differ in letters or digits")
    return tuple(found)


def numbers(option: str, text: str, least: int) -> tuple[int, ...]:
    """Of '1,4'; () for ''. Raises BadInput.

    >>> numbers("--prefetch", "1,4", 0)
    (1, 4)
    """
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",") if part.strip()))
    except ValueError:
        found = (least - 1,)
    if any(one < least for one in found):
        raise BadInput(f"{option} {text!r}: not a number of at least {least}, or several", remedy=f"such as {option} 1,4")
    return found


def searched(prefetch: str, max_tasks: str) -> dict[str, str]:
    """Options of a worker's line that these say instead, and how, in words.

    >>> searched("1,4", "0,100")["--max-tasks-per-child"]
    'holds where --max-tasks says 0'
    """
    found = {"--prefetch-multiplier": "is left out: --prefetch says it"} if numbers("--prefetch", prefetch, 1) else {}
    if kept := numbers("--max-tasks", max_tasks, 0):
        found["--max-tasks-per-child"] = "holds where --max-tasks says 0" if 0 in kept else "is left out: --max-tasks says it"
    return found


def variables(options: Iterable[str]) -> tuple[str, ...]:
    """Every combination of the values that variables may have, each as in `Cell.variables`, the application's own first.
    Raises BadInput.

    >>> variables(["OMP_NUM_THREADS=1,2", "MALLOC_ARENA_MAX=2"])[:3]
    ('', 'MALLOC_ARENA_MAX=2', 'OMP_NUM_THREADS=1')
    """
    choices: list[tuple[str, ...]] = []
    for option in options:
        told = VARY.fullmatch(option)
        values = [one for one in told["values"].split(",") if one] if told else []
        if told is None or not values:
            raise BadInput(f"--vary {option!r}: not a variable with values", remedy="such as --vary OMP_NUM_THREADS=1,2")
        choices.append(("", *(f"{told['name']}={shlex.quote(one)}" for one in values)))
    return tuple(" ".join(filter(None, each)) for each in itertools.product(*choices)) if choices else ()
