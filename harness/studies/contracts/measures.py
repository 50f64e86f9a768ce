"""The contracts: one small function each, from a stand to an answer. `catalogue` lists them.

Every worker has one executor, so that "the next request" tells whether that executor is free again. A predict that
never returns comes in two kinds: `python`, blocked on a lock in Python, where a signal handler can run; and `native`,
in C and not coming back, where none can: a real Keras predict where one hangs by itself, else an endless computation.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from harness.studies.contracts.bench import Bench, CannotSay, Stand, Workload
from harness.studies.contracts.control import MINGLE
from harness.studies.contracts.heartbeats import Heartbeats

TIME_LIMIT_S = 3
PATIENCE_S = 4.0  # beyond the limit, or after a revoke
NEXT_S = 8.0  # prefork looks every 5 s whether a child is missing (celery.concurrency.asynpool, register_timers)
STUCK_S = 2.0  # for the next request, when the only executor has not been freed
CHILD_LOST_S = 15.0  # prefork waits up to 10 s for the answer of a child that is gone (billiard, lost_worker_timeout)
STOP_LIMIT_S = 6.0
FRESH_STARTS = 3
REDELIVERY_LIMIT_S = 12.0  # kombu first looks for abandoned messages 10 s after a worker's start (its source)
VISIBILITY_S = 1
IDLE_LIMIT_S = 2.0  # below the time limits
SETTLE_S = 2.5  # for an early acknowledgement to reach the broker (eventlet needs 2 s): the request is well under way then
PREFETCH_S = 1.0
BUSY_S = 7
PINGS = 5
HEARTBEAT_S = 2.0  # Celery's own interval of worker-heartbeat
IN_FLIGHT_S = 5
PREFETCHED = 3
LIMIT_ERRORS = {"--time-limit": "TimeLimitExceeded", "--soft-time-limit": "SoftTimeLimitExceeded"}


@dataclass(frozen=True, kw_only=True)
class ContractAnswer:
    """What was seen. `seconds`: see the contract's own description; None where there is nothing to time."""

    verdict: str
    seconds: float | None = None
    detail: str = ""


# -- a predict that never returns


def hang_of(stand: Stand, kind: str) -> Workload:
    """The predict that never returns, of this kind, here."""
    if kind == "python":
        return Workload(fault="deadlock@1x1")
    return stand.real_hang or Workload(fault="native-spin@1x1")


def name_of(workload: Workload) -> str:
    return workload.fault.partition("@")[0] if workload.fault else f"a real {workload.backend} {workload.call}"


@contextmanager
def hung(stand: Stand, kind: str, arguments: Sequence[str] = ()) -> Iterator[tuple[Bench, int, float]]:
    """A worker whose only executor is in a predict that never returns, that request's number, and when it was begun (seconds
    of CLOCK_MONOTONIC). Raises CannotSay."""
    workload = hang_of(stand, kind)
    with stand.worker(workload, arguments) as bench:
        if workload.fault:
            bench.warm()
        number = bench.begin()
        begun_s = time.monotonic()
        if outcome := bench.until(lambda: bench.outcome(number), 0.5):
            raise CannotSay(f"{name_of(workload)} did not hang: {outcome}")
        if not workload.fault:  # a real predict spends a while in Python first, where a signal would still reach it
            bench.until(lambda: bench.is_idle(bench.begun(number)[-1]), IDLE_LIMIT_S)
        yield bench, number, begun_s


def after(bench: Bench, number: int) -> tuple[bool, str]:
    """Whether an executor takes the next request, and how; one that hangs again by itself counts once it is begun."""
    workload, sent_s = bench.workload, time.monotonic()
    limit_s = NEXT_S if bench.outcome(number) else STUCK_S
    following = bench.send()
    done = bench.until(lambda: bench.outcome(following) or (not workload.fault and bench.begun(following)), limit_s)
    took_s, pids = time.monotonic() - sent_s, bench.begun(following)
    bench.stand.note(f"request {following}: {bench.outcome(following) or 'no answer'}, begun in {pids}")
    if not done:
        return False, f"the next request was {'begun but ' if pids else ''}not answered within {limit_s:g} s"
    where = "a new child" if pids and pids[-1] != bench.begun(number)[-1] else "the same process"
    what = bench.outcome(following) or "begun, and hangs again,"
    return what == "answered" or not workload.fault, f"the next request was {what} in {where} after {took_s:.1f} s"


def limit(stand: Stand, *, option: str, kind: str) -> ContractAnswer:
    """A time limit meets a predict that never returns."""
    with hung(stand, kind, (option, str(TIME_LIMIT_S))) as (bench, number, begun_s):
        what = name_of(bench.workload)
        outcome = bench.until_outcome(number, begun_s + TIME_LIMIT_S + PATIENCE_S - time.monotonic())
        took_s = time.monotonic() - begun_s
        free, then = after(bench, number)
        died = bench.until_ended(0.0)
    if died:
        return ContractAnswer(verdict="worker died", detail=f"{what}; {died}; the caller got {outcome or 'nothing'}")
    if not outcome:
        return ContractAnswer(verdict="not cut off", detail=f"{what}; no answer within {TIME_LIMIT_S + PATIENCE_S:g} s; {then}")
    verdict = "cut off" if free else "answered, still stuck"
    if outcome != LIMIT_ERRORS[option]:
        verdict = "other error" if free else "other error, still stuck"
    return ContractAnswer(verdict=verdict, seconds=took_s, detail=f"{what}; the caller got {outcome}; {then}")


def revoke(stand: Stand, *, kind: str, with_signal: str) -> ContractAnswer:
    """revoke(terminate=True) of a running request that never returns."""
    with hung(stand, kind) as (bench, number, _):
        begun_s = time.monotonic()
        reply = bench.revoke(number, with_signal)
        outcome = bench.until_outcome(number, PATIENCE_S)
        took_s = time.monotonic() - begun_s
        free, then = after(bench, number)
        died = bench.until_ended(0.0)
        replied = f"the worker replied {reply}" if reply else "no reply from the worker"
        detail = f"{name_of(bench.workload)}; {with_signal}: {replied}; the caller got {outcome or 'nothing'}; {then}"
    if died:
        return ContractAnswer(verdict="worker died", seconds=took_s, detail=f"{detail}; {died}")
    if not outcome:
        return ContractAnswer(verdict="not implemented" if "NotImplementedError" in reply else "not ended", detail=detail)
    return ContractAnswer(verdict="ended" if free else "answered, still stuck", seconds=took_s, detail=detail)


# -- shutdown


def fate(bench: Bench, number: int) -> str:
    """What became of a request whose worker has ended."""
    if outcome := bench.outcome(number):
        return "answered" if outcome == "answered" else f"raised {outcome}"
    place = bench.place_of(number)
    return {"queue": "back in the queue", "unacked": "left unacknowledged", "": f"lost (state {bench.state(number)})"}[place]


def counted(words: Sequence[str]) -> str:
    """'2 of 3 back in the queue, 1 of 3 lost'."""
    return ", ".join(f"{words.count(word)} of {len(words)} {word}" for word in dict.fromkeys(words)) or "none"


#: The verdict on a shutdown that ended, by the first word of the running request's fate.
ENDS = {
    "answered": "finishes", "back": "requeues", "left": "leaves unacknowledged", "lost": "loses it",
    "raised": "ends with an error",
}  # fmt: skip


def shutdown(
    stand: Stand, *, number: signal.Signals, fault: str, limit_s: float, settings: dict[str, object]
) -> ContractAnswer:
    """A signal to the main process while one request is in flight and more are prefetched."""
    with stand.worker(Workload(fault=f"{fault}@1x1"), settings=settings) as bench:
        bench.warm()
        running = bench.begin()
        waiting = [bench.send() for _ in range(PREFETCHED)]
        bench.until(lambda: not bench.place_of(running), SETTLE_S)
        bench.until(lambda: all(bench.place_of(each) == "unacked" for each in waiting), PREFETCH_S)
        prefetched = [each for each in waiting if bench.place_of(each) == "unacked"]
        begun_s = bench.signal(number)
        how = bench.until_ended(limit_s)
        took_s = time.monotonic() - begun_s
        fates = {each: fate(bench, each) for each in (running, *waiting)}
        bench.stand.note(f"requests after it: {fates}")
    rest = counted([fates[each] for each in prefetched])
    detail = f"{how or f'still there after {limit_s:g} s'}; in flight: {fates[running]}; prefetched: {rest}"
    if not how:
        return ContractAnswer(verdict="does not end", detail=detail.replace("lost (state PENDING)", "not answered"))
    return ContractAnswer(verdict=ENDS.get(fates[running].split(" ")[0], "ends"), seconds=took_s, detail=detail)


# -- signs of life


def ping(stand: Stand, *, fault: str) -> ContractAnswer:
    """`inspect ping`, and heartbeat events, while the only executor is busy."""
    with stand.worker(Workload(fault=f"{fault}:{BUSY_S}@1x1")) as bench:
        bench.warm()
        if bench.ping(5.0) is None:
            raise CannotSay("an idle worker did not answer ping within 5 s")
        with Heartbeats(bench) as heartbeats:
            number = bench.begin()
            begun_s = time.monotonic()
            replies = [reply for _ in range(PINGS) for reply in [paced_ping(bench)]]
            end_s = time.monotonic()
            busy = not bench.outcome(number)
            beats = heartbeats.between(begun_s, end_s)
    if not busy:
        raise CannotSay(f"the request ended before {PINGS} pings were sent")
    answered = [reply for reply in replies if reply is not None]
    expected = (end_s - begun_s) / HEARTBEAT_S
    verdict = {PINGS: "answered", 0: "silent"}.get(len(answered), "partly")
    detail = f"{len(answered)} of {PINGS} pings answered within 1 s; {beats} heartbeats, {expected:.1f} expected"
    return ContractAnswer(verdict=verdict, seconds=median(answered) if answered else None, detail=detail)


def paced_ping(bench: Bench) -> float | None:
    """One ping, and the rest of its second."""
    end_s = time.monotonic() + 1.0
    reply = bench.ping()
    bench.until(lambda: False, end_s - time.monotonic())
    return reply


# -- the process that runs a request is killed


def killed(stand: Stand, *, settings: dict[str, object]) -> ContractAnswer:
    """SIGKILL to the process that runs a request: a child, or the whole worker where the pool has no children."""
    with stand.worker(Workload(fault="sleep:60@1x1"), settings=settings) as bench:
        bench.warm()
        number = bench.begin()
        bench.until(lambda: not bench.place_of(number), SETTLE_S)
        pid = bench.begun(number)[-1]
        begun_s = bench.signal(signal.SIGKILL, pid)
        if pid != bench.pid:
            outcome = bench.until_outcome(number, CHILD_LOST_S)
            took_s = time.monotonic() - begun_s
            return child_killed(bench, number, outcome, took_s)
        if not bench.until_ended(STOP_LIMIT_S):
            raise CannotSay("the worker survived SIGKILL")
        left = fate(bench, number)
        detail = f"the worker itself died; the request: {left}"
        if left != "left unacknowledged":
            return ContractAnswer(verdict=left.split(" (")[0], detail=detail)
        # the message of the dead worker is taken back by another one
        return redelivered(stand, bench, number, begun_s, settings, detail)


def child_killed(bench: Bench, number: int, outcome: str, took_s: float) -> ContractAnswer:
    """The request's end, after its child's."""
    times = len(bench.begun(number))
    if outcome == "answered" and times > 1:
        return ContractAnswer(verdict="redelivered", seconds=took_s, detail="a new child answered it")
    if outcome:
        _, then = after(bench, number)
        return ContractAnswer(verdict="error to the caller", seconds=took_s, detail=f"the caller got {outcome}; {then}")
    left = fate(bench, number)
    return ContractAnswer(
        verdict=left.split(" (")[0], detail=f"no answer within {CHILD_LOST_S:g} s, begun {times} times; {left}"
    )


def redelivered(
    stand: Stand, dead: Bench, number: int, begun_s: float, settings: dict[str, object], detail: str
) -> ContractAnswer:
    """Fresh workers on the same queue, one after the other: whether one answers the request that the dead one held.

    Several, because a start is a matter of chance: kombu's first look for abandoned messages is made on whichever of the
    worker's channels comes first in a set, the later ones are rare. Without mingle, gevent and eventlet workers were not
    seen to look at all in 200 s, so these have it, as a user's worker has.
    """
    settings = {**settings, "broker_transport_options": {"visibility_timeout": VISIBILITY_S}}
    dead.until(lambda: time.monotonic() - begun_s > VISIBILITY_S + 0.5, 2.0 * VISIBILITY_S)  # a first look is to find it
    detail += f"; with visibility_timeout={VISIBILITY_S} s"
    for start in range(1, FRESH_STARTS + 1):
        with stand.worker(Workload(fault="sleep:60@1x1"), (MINGLE,), settings, name=f"fresh-worker-{start}") as fresh:
            outcome = fresh.until(lambda: dead.outcome(number), REDELIVERY_LIMIT_S)
            fresh.stand.note(f"request {number}: {outcome or 'no answer'}")
        if outcome:
            took_s = time.monotonic() - begun_s
            return ContractAnswer(
                verdict="redelivered", seconds=took_s, detail=f"{detail}, fresh worker {start} took it: {outcome}"
            )
    none = f"none of {FRESH_STARTS} fresh workers took it within {REDELIVERY_LIMIT_S:g} s each"
    return ContractAnswer(verdict="left unacknowledged", detail=f"{detail}, {none}")
