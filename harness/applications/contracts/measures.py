"""What is done to a worker that runs somebody's own task, and what became of its requests: one small function each.

A task may take a millisecond or a minute, so that no single request can be met in flight for sure. A burst is sent instead, as
much work as lasts for some seconds; whatever is done then meets one of them, and the fates of all are counted.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from harness.applications.contracts.stand import OwnBench, OwnStand
from harness.applications.contracts.words import OF_ITSELF, left_as, revoke_verdict, themselves
from harness.experiment.pools import POOLS
from harness.studies.contracts.bench import CannotSay
from harness.studies.contracts.measures import CHILD_LOST_S, LIMIT_ERRORS, ContractAnswer, counted, fate
from harness.studies.contracts.rows import Column

LASTS_S, LEAST, MOST = 3.0, 4, 500  # of a burst: so much work, so few requests, so many
LIMIT_SHARE = 0.4  # of what the longest call takes: a limit that strikes in it
SHORTEST_LIMIT_S = 1.0  # a shorter limit cannot be told from the end of the call
LATE_S = 1.5  # that a limit may strike late: of some pools billiard looks once a second (billiard/pool.py, TimeoutHandler)
LOSES, TWICE = "loses requests", ", begun"  # a verdict; and what stands behind the fate of a request that was run again
MOST_ROWS = 20  # that are sent with a limit, each once
AGAIN = 3  # requests after a revoked one, until one is answered
SETTLE_S = 0.2  # for the worker to take what it prefetches
PATIENCE_S, PATIENCE_TIMES = 20.0, 3.0  # for what is under way to end: so much, and so many of the longest call


@dataclass(frozen=True, kw_only=True)
class OwnContract(Column):
    """`needs_s`: how long a call has to take at the least for it to be met."""

    measure: Callable[[OwnStand], ContractAnswer]
    needs_s: float = 0.0
    children_only: bool = False


def patience_s(stand: OwnStand) -> float:
    return PATIENCE_S + PATIENCE_TIMES * stand.longest_s


def size(usual_s: float) -> int:
    """How many requests keep one executor busy for some seconds.

    >>> [size(seconds) for seconds in (0.0001, 0.05, 1.0, 30.0)]
    [500, 60, 4, 4]
    """
    return min(max(LEAST, math.ceil(LASTS_S / usual_s)), MOST) if usual_s else MOST


def begun(bench: OwnBench) -> tuple[list[int], int]:
    """A burst that is under way: its numbers, and the one that was begun last and is not answered. Raises CannotSay."""
    limit_s = patience_s(bench.own)
    if not bench.until_outcome(bench.send(), limit_s):
        raise CannotSay("the first request, before any trouble, was not answered")
    numbers = bench.burst(size(bench.own.usual_s))
    found = bench.until(lambda: _running(bench, numbers), limit_s)
    if found and bench.own.usual_s >= SETTLE_S:  # a shorter one would have ended meanwhile
        found = bench.until(lambda: _settled(bench, numbers), SETTLE_S) or found
    if not found:
        raise CannotSay(f"none of {len(numbers)} requests was met while it ran")
    return numbers, found[-1]


def _running(bench: OwnBench, numbers: Sequence[int]) -> list[int]:
    return [one for one in numbers if bench.runs(one) and not bench.outcome(one)]


def _settled(bench: OwnBench, numbers: Sequence[int]) -> list[int]:
    """Those that run, once the broker has all others that wait. A message that the worker has just taken out of a queue of
    Redis, and has not yet noted as its own, stands nowhere: what strikes then loses it, whatever the task's settings are.
    """
    running = _running(bench, numbers)
    others = [one for one in numbers if one not in running and not bench.outcome(one)]
    return running if all(bench.places(others).values()) else []


def fates(bench: OwnBench, numbers: Sequence[int], running: int) -> dict[int, str]:
    """What became of each, whether it was run more than once, and whether an error is its own; `running`: the one in flight."""
    found = {}
    for number in numbers:
        times = bench.times(number)
        found[number] = fate(bench, number) + (f"{TWICE} {times} times" if times > 1 else "")
    return themselves(found, [one for one in numbers if not bench.runs(one)], running, bench.own.raises)


def verdict_of(found: Mapping[int, str], gravest: Mapping[str, str], otherwise: str) -> str:
    """By the gravest fate of any request. `gravest`: how a fate begins, or TWICE in it, and the verdict; the gravest first."""
    words = found.values()
    for mark, said in gravest.items():
        if any(word.startswith(mark) or (mark == TWICE and TWICE in word) for word in words):
            return said
    return otherwise


def told(found: Mapping[int, str], running: int) -> str:
    rest = [word for number, word in found.items() if number != running]
    return f"in flight: {found[running]}; the others: {counted(rest)}"


def warm_shutdown(stand: OwnStand) -> ContractAnswer:
    """SIGTERM to the main process, as a deployment does it."""
    with stand.own_worker() as bench:
        numbers, running = begun(bench)
        begun_s = bench.signal(signal.SIGTERM)
        how = bench.until_ended(patience_s(stand))
        took_s, found = time.monotonic() - begun_s, fates(bench, numbers, running)
    detail = f"{how or f'still there after {patience_s(stand):.0f} s'}; {told(found, running)}"
    if not how:
        return ContractAnswer(verdict="does not end", detail=detail)
    return ContractAnswer(verdict=shutdown_verdict(found, running), seconds=took_s, detail=detail)


def shutdown_verdict(found: Mapping[int, str], running: int) -> str:
    """The gravest that became of any of them.

    >>> shutdown_verdict({1: "answered", 2: "back in the queue"}, 1), shutdown_verdict({1: "lost (state PENDING)"}, 1)
    ('finishes', 'loses requests')
    >>> shutdown_verdict({1: "raised WorkerLostError", 2: "left unacknowledged"}, 1)
    'ends with an error'
    """
    gravest = {
        "lost": LOSES, "raised": "ends with an error", TWICE: "runs requests twice", "left": "leaves unacknowledged"
    }  # fmt: skip
    return verdict_of(found, gravest, "finishes" if found[running].startswith(("answered", OF_ITSELF)) else "requeues")


def child_killed(stand: OwnStand) -> ContractAnswer:
    """SIGKILL to the child that runs a request, as the kernel does it if memory is short."""
    with stand.own_worker() as bench:
        numbers, running = begun(bench)
        begun_s = bench.signal(signal.SIGKILL, bench.begun(running)[-1])
        limit_s = CHILD_LOST_S + patience_s(stand)
        bench.until_outcome(running, limit_s)
        took_s = time.monotonic() - begun_s
        bench.until(lambda: all(bench.outcome(number) for number in numbers), limit_s)
        found = fates(bench, numbers, running)
    return ContractAnswer(verdict=killed_verdict(found), seconds=took_s, detail=told(found, running))


def killed_verdict(found: Mapping[int, str]) -> str:
    """
    >>> killed_verdict({1: "answered, begun 2 times", 2: "answered"}), killed_verdict({1: "raised WorkerLostError"})
    ('runs it again', 'error to the caller')
    >>> killed_verdict({1: "answered", 2: "answered"}), killed_verdict({1: "lost (state PENDING)", 2: "answered"})
    ('not met', 'loses requests')
    """
    stops = "serves no more"
    gravest = {"lost": LOSES, "left": stops, "back": stops, "raised": "error to the caller", TWICE: "runs it again"}
    return verdict_of(found, gravest, "not met")


def worker_killed(stand: OwnStand) -> ContractAnswer:
    """SIGKILL to the worker and all of its children; then another worker starts, and takes what it is given."""
    with stand.own_worker() as bench:
        numbers, running = begun(bench)
        bench.stand.note(f"SIGKILL to worker {bench.pid} and its children")
        bench.worker.stop(at_once=True)
        at_once = fates(bench, numbers, running)
        with stand.own_worker(name="fresh-worker") as fresh:
            waiting = [number for number, word in at_once.items() if word.startswith("back")]
            fresh.until(lambda: all(bench.outcome(number) for number in waiting), patience_s(stand))
        found = fates(bench, numbers, running)
    back_s = int((stand.application.settings.get("broker_transport_options") or {}).get("visibility_timeout", 3600))
    detail = told(found, running)
    if any(word.startswith("left") for word in found.values()):
        detail += f"; what is left unacknowledged comes back after the visibility timeout, {back_s} s"
    return ContractAnswer(verdict=worker_verdict(found), detail=detail)


def worker_verdict(found: Mapping[int, str]) -> str:
    """
    >>> worker_verdict({1: "left unacknowledged", 2: "answered"}), worker_verdict({1: "lost (state PENDING)", 2: "answered"})
    ('left unacknowledged', 'loses requests')
    """
    return verdict_of(found, {"lost": LOSES, "left": "left unacknowledged"}, "loses none")


def limit(stand: OwnStand, *, soft: bool) -> ContractAnswer:
    """A time limit that strikes in the longest call, brought by the message, as `apply_async(time_limit=…)` brings it."""
    seconds = max(SHORTEST_LIMIT_S, round(LIMIT_SHARE * stand.longest_s, 1))
    with stand.own_worker(limits=(None, seconds) if soft else (seconds, None)) as bench:
        numbers = bench.burst(min(len(stand.messages), MOST_ROWS))
        bench.until(lambda: all(bench.outcome(number) for number in numbers), patience_s(stand) * len(numbers))
        outcomes = [bench.outcome(number) or "no answer" for number in numbers]
        states = [bench.state(number) for number, outcome in zip(numbers, outcomes, strict=True) if outcome == "no answer"]
        longest_s = max((bench.ran_s(number) for number in numbers), default=0.0)
    verdict = limit_verdict(outcomes, longest_s, seconds, soft=soft)
    detail = f"a limit of {seconds:g} s for each of {len(numbers)} rows: {counted(outcomes)}{left_as(states)}"
    if soft and verdict == "not cut off" and POOLS[stand.cell.pool].executors == "processes":
        detail += "; prefork raises the exception: the task caught it, or was in native code to its end"
    return ContractAnswer(verdict=verdict, seconds=longest_s, detail=detail)


def limit_verdict(outcomes: Sequence[str], longest_s: float, seconds: float, *, soft: bool) -> str:
    """`longest_s`: that a call ran. Raises CannotSay if none ran for so long that the limit could strike.

    >>> limit_verdict(["answered", "TimeLimitExceeded"], 3.2, 3, soft=False), limit_verdict(["answered"], 8.0, 3, soft=False)
    ('cut off', 'not cut off')
    >>> limit_verdict(["answered"], 3.4, 3, soft=True), limit_verdict(["no answer"], 3.4, 3, soft=False)
    ('ends in time', 'no answer')
    """
    if "no answer" in outcomes:
        return "no answer"
    if any(word in LIMIT_ERRORS.values() for word in outcomes):
        return "cut off"
    if longest_s > seconds + LATE_S:
        return "not cut off"
    if soft and longest_s >= seconds:
        return "ends in time"
    raise CannotSay(f"no call ran for longer than {longest_s:.2g} s, and the limit is {seconds:g} s")


def next_one(bench: OwnBench) -> str:
    """How the request after it ends. A task that fails now and then gets AGAIN tries; a broken executor fails them all."""
    for _ in range(AGAIN):
        then = bench.until_outcome(bench.send(), patience_s(bench.own))
        if then in ("", "answered"):
            break
    return then


def revoke(stand: OwnStand) -> ContractAnswer:
    """revoke(terminate=True) of a request that runs."""
    with stand.own_worker() as bench:
        number = bench.begin()
        begun_s = time.monotonic()
        reply = bench.revoke(number, "SIGTERM")
        outcome = bench.until_outcome(number, patience_s(stand))
        took_s = time.monotonic() - begun_s
        died = bench.until_ended(0.0)
        then = "" if died else next_one(bench)
    replied = f"the worker replied {reply}" if reply else "no reply from the worker"
    after = f"the worker ended: {died}" if died else f"the next request: {then or 'no answer'}"
    detail = f"{replied}; the caller got {outcome or 'nothing'}; {after}"
    if died:
        return ContractAnswer(verdict="worker died", seconds=took_s, detail=detail)
    return ContractAnswer(verdict=revoke_verdict(outcome, then), seconds=took_s, detail=detail)


def _contracts() -> list[OwnContract]:
    to_answer, to_fate = "from the request's begin to its answer", "from the kill to that request's answer"
    slow = SHORTEST_LIMIT_S / LIMIT_SHARE + LATE_S
    return [
        OwnContract(
            id="hard-limit", title="hard time limit", seconds=to_answer, kept=("cut off",), needs_s=slow,
            measure=partial(limit, soft=False),
        ),
        OwnContract(
            id="soft-limit", title="soft time limit", seconds=to_answer, kept=("cut off", "ends in time"), needs_s=slow,
            measure=partial(limit, soft=True),
        ),
        OwnContract(
            id="revoke", title="revoke, terminate", seconds="from the revoke to the answer", kept=("ended",), needs_s=1.0,
            measure=revoke,
        ),
        OwnContract(
            id="warm-shutdown", title="warm shutdown", seconds="from the signal to the worker's end",
            kept=("finishes", "requeues"), measure=warm_shutdown,
        ),
        OwnContract(
            id="child-killed", title="child killed", seconds=to_fate, kept=("error to the caller", "runs it again"),
            measure=child_killed, children_only=True,
        ),
        OwnContract(
            id="worker-killed", title="worker killed", seconds=to_fate, kept=("loses none", "left unacknowledged"),
            measure=worker_killed,
        ),
    ]  # fmt: skip


CONTRACTS: dict[str, OwnContract] = {one.id: one for one in _contracts()}


def why_not(contract: OwnContract, pool: str, longest_s: float) -> str:
    """Why it cannot be measured, or ''."""
    if contract.children_only and POOLS[pool].executors != "processes":
        return "the pool has no child processes"
    if longest_s < contract.needs_s:
        return (
            f"the longest call takes {longest_s:.2g} s, too short to be met: name rows that take {contract.needs_s:g} s or more"
        )
    return ""
