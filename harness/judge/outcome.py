"""How a trial ended: one word, its reason, decided from observations by a pure function.

What our own instrument did wrong comes first, then a worker that never ran. Of all that holds after these, the gravest is the
word: crashed, respawning, hung, waiting, wrong, errors, stalled, slow, ok; the reason tells the rest with its counts. What made
no progress to the limit, and is not proved to hang, is `waiting`;
`invalid` is a trial of which nobody can say how it ended, because our own instrument failed. A noisy machine, a late or busy
client take away the figures (`judge.unusable`), never the outcome.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.judge.blocked import How
from harness.judge.singular import ONE, of_one, often, put_off
from harness.judge.watchdog import State, Verdict
from harness.observe.looks import UNKNOWN_PATIENCE_S
from harness.records.answers import Waiting
from harness.records.outcomes import Outcome
from harness.records.sending import Sending
from harness.texts import by_kind

STALL_SHARE = 0.5  # of the measured time, in spells in which requests waited and nobody worked
CORE_WAIT = 0.5  # of these spells: in which its own threads waited for a core, and which others explain
MOST_WAITS = 2  # that a reason names
LOST = "WorkerLostError"  # what billiard answers in a dead child's place
SILENCE_FACTOR = 1.5  # a silence longer than this many times the longest that ended is out of the trial's own pace

#: a verdict's reason with its counts, as `watchdog` words it
COUNTED = re.compile(
    r"\d+ of \d+ (?P<kind>\w+) that run requests made (?P<seen>[^:]+): they (?P<how>[^;]+)(?P<rest>.*)", re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class Observations:
    """All that a trial saw, as far as its outcome depends on it. `ended_by` says what ended it: 'done', 'verdict',
    'limit', 'ready-limit', 'worker-exit', 'no-consumer', 'client-exit', 'client-stopped', 'broker-exit', 'broker-silent',
    'broker-cut' or 'unsupported'."""

    ended_by: str
    verdict: Verdict | None = None
    partial: Verdict | None = None  # some executors hang, and the others went on to the end
    unsupported: str = ""
    worker_exit: str = ""  # 'SIGKILL', 'exit 1'
    dead_children: int = 0
    no_consumer: str = ""  # why no worker would take the requests
    lost_requests: int = 0  # that dead children held, and that were never answered
    was_ready: bool = False
    client_exit: str = ""
    never_struck: bool = False  # a fault was to be done from outside, and was not
    log_tail: str = ""
    log_error: str = ""  # the last exception in the worker's log
    log_words: str = ""  # its last lines
    backlog: tuple[str, ...] = ()  # what other tasks wait in queues that this worker consumes, in words
    at_lock: bool = False  # the blocked thread's stack ends in a lock, Python's or the C library's, and in no engine's wait
    waits: tuple[str, ...] = ()  # what the open requests wait for when it ended, in words
    requests: int = 0
    ok: int = 0
    wrong: int = 0
    unanswered: int = 0
    #: of these, that were to be begun again, by what their own task has done, in words (`observe.progress.PUT_OFF`)
    put_off: Mapping[str, int] = field(default_factory=dict)
    #: how often each of these was put off, of those that ever were, the fewest first, likewise
    again: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    copies: tuple[int, ...] = ()  # processes that the worker forked inside a task, and that took requests as it does
    errors: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    sending: Sending | None = None
    max_error: float | None = None
    waiting: Waiting | None = None
    waited_in: str = ""  # the stage in which requests waited while executors were free, in words
    paused: str = ""  # the queue that the worker consumed no longer for a while, and does again
    core_wait: float = 0.0  # seconds a second in which threads of the worker were ready to run and had no core
    needs_cores: float | None = None  # cores that the worker used, or waited for, per executor that had a request
    client_cores: float | None = None
    others_share: float | None = None
    noise_limit: float = 0.5  # of the cores that we may use, used by others (`cpu.CpuUse.others_share`)
    quiet_s: float = 0.0
    longest_silence_s: float = 0.0
    limit_s: float = 0.0
    rate_interval_s: float = 0.0  # between two requests, by the task's own rate limit; 0 if it has none
    throughput_per_s: float | None = None


Found = tuple[Outcome, str]


def classify(seen: Observations) -> Found:
    """(outcome, one-line reason). Of all that holds the gravest is the word; the reason tells the others, too."""
    outcome, reason = _instrument(seen) or _never_ran(seen) or _ran(seen)
    return outcome, reason + _copied(seen)


def _ran(seen: Observations) -> Found:
    questions = (_crashed, _verdict, _waiting, _wrong, _errors, _stalled, _slow)
    found = [answer for question in questions if (answer := question(seen))]
    if found:
        outcome, reason = found[0]
        return outcome, "; ".join([reason, *_further(seen, found)])
    expected = seen.requests - (seen.sending.withdrawn if seen.sending else 0)
    if not expected or seen.ok != expected:
        return Outcome.INVALID, f"could not judge: only {seen.ok} of {expected} answers could be checked"
    twice = f"; {seen.duplicates} answers came twice" if seen.duplicates else ""
    starved = f"; starved for {seen.waiting.starved:.0%} of the time" if seen.waiting and seen.waiting.starved else ""
    starved += _where(seen) if starved else ""
    peak = f"; {seen.sending.peak}" if seen.sending and seen.sending.peak else ""
    return Outcome.OK, f"{seen.ok} of {expected} answers match the reference{twice}{starved}{peak}"


def _instrument(seen: Observations) -> Found | None:
    if seen.ended_by == "broker-exit":
        return Outcome.INVALID, "broker lost: the embedded server ended during the trial"
    if seen.ended_by == "broker-cut":
        return Outcome.INVALID, (
            "the broker runs, and closed the load generator's connection: answers may be larger than it keeps for a reader "
            "that is behind (client-output-buffer-limit pubsub), or connections were killed"
        )
    if seen.ended_by == "broker-silent":
        return Outcome.INVALID, "broker lost: it runs, and does not answer a PING"
    if seen.ended_by == "client-stopped":
        return Outcome.INVALID, "the load generator was stopped by a signal"
    if seen.ended_by == "client-exit":
        return Outcome.INVALID, f"the load generator ended early ({seen.client_exit})"
    if seen.never_struck and seen.ended_by == "done":
        return Outcome.INVALID, "the fault that was to be done from outside was not: the trial was over too soon"
    return None


def _never_ran(seen: Observations) -> Found | None:
    if seen.unsupported:
        return Outcome.SKIPPED, f"the backend cannot build the layer {seen.unsupported}"
    if seen.no_consumer:
        return Outcome.REFUSED, seen.no_consumer
    if seen.ended_by == "worker-exit" and not seen.was_ready:
        return Outcome.REFUSED, f"the worker ended before it was ready ({seen.worker_exit}): {seen.log_tail}"
    if seen.ended_by == "ready-limit":
        said = "; ".join([seen.log_tail, *seen.waits[:MOST_WAITS]])
        return Outcome.REFUSED, f"the worker was not ready within {seen.limit_s:g} s: {said}"
    return None


def _crashed(seen: Observations) -> Found | None:
    said = [f"the worker process ended with {seen.worker_exit}{_logged(seen)}"] if seen.ended_by == "worker-exit" else []
    if lost := _lost_errors(seen):
        said.append(f"child processes died: {counted(lost)}")
    elif seen.lost_requests and seen.ended_by != "done":  # then each was answered, or the judge of the answers says so
        said.append(f"{seen.dead_children} child processes died, {seen.lost_requests} of their requests unanswered")
    return (Outcome.CRASHED, "; ".join(said)) if said else None


def _lost_errors(seen: Observations) -> dict[str, int]:
    return {text: count for text, count in seen.errors.items() if text.startswith(LOST)}


def _verdict(seen: Observations) -> Found | None:
    """What the watchdog has proved of the worker, or of some of its executors; that work only waits is asked later."""
    ended = seen.verdict if seen.ended_by == "verdict" else None
    proved = [one for one in (ended, seen.partial) if one is not None and one.state is not State.STALLED]
    if not proved or (proved[0].how is How.LOST and seen.lost_requests):
        return None
    reason = _of_those_at_work(seen, proved[0])
    if proved[0].how is How.BEREFT and seen.at_lock:
        return Outcome.WAITING, f"{reason}; not proved: it waits for a lock, which a native thread may release"
    return Outcome(proved[0].state.value), reason + (_logged(seen) if proved[0].state is State.RESPAWNING else "")


def _of_those_at_work(seen: Observations, verdict: Verdict) -> str:
    """The verdict's reason; an executor that had no request counts as none that could have gone on."""
    at_work, told = max(verdict.hung, seen.unanswered), COUNTED.fullmatch(verdict.reason)
    if not verdict.hung or not seen.unanswered or at_work >= verdict.executors or told is None:
        return verdict.reason
    noun = told["kind"] if at_work > 1 else ONE.get(told["kind"], told["kind"])
    whose = f"{verdict.hung} of them " if verdict.hung < at_work else ""
    what = f"hang: they made {told['seen']}, and {told['how']}"
    if verdict.hung == 1:
        what = of_one(what)
    return f"{at_work} {noun} of {verdict.executors} had requests, and {whose}{what}{told['rest']}"


def _waiting(seen: Observations) -> Found | None:
    """It made no progress to the limit, and nobody could prove that it waits for ever."""
    if seen.ended_by != "limit" or _progressed(seen):
        return None
    undecided = seen.verdict is not None and seen.verdict.state is State.UNDECIDED
    why = f"no progress for {seen.quiet_s:.0f} s"
    if seen.waits:
        why += f": {'; '.join(seen.waits[:MOST_WAITS])}"
    for said, count in seen.put_off.items():
        why += f"; {put_off(said, count)}, and did not begin again"
    if undecided and seen.verdict:
        why += f"{'; ' if seen.waits else ', and '}not proved to hang: {seen.verdict.doubt or seen.verdict.reason}"
    if seen.backlog:
        why += f"; meanwhile {' and '.join(seen.backlog)}"
    lost = f"; {seen.unanswered} request{'s are' if seen.unanswered > 1 else ' is'} unanswered" if seen.unanswered else ""
    return Outcome.WAITING, f"{why}{lost}; {_at_limit(seen)}"


def _wrong(seen: Observations) -> Found | None:
    if not seen.wrong:
        return None
    return Outcome.WRONG, f"{seen.wrong} of {seen.requests} answers differ from the reference by up to {seen.max_error:.3g}"


def _errors(seen: Observations) -> Found | None:
    raised = {text: count for text, count in seen.errors.items() if not text.startswith(LOST)}
    if not raised:
        return None
    return Outcome.ERRORS, f"{sum(raised.values())} of {seen.requests} requests raised: {counted(raised)}"


def _stalled(seen: Observations) -> Found | None:
    """Work waits while executors are free: the watchdog saw nothing else, or the pace tells."""
    if seen.ended_by == "verdict" and seen.verdict is not None and seen.verdict.state is State.STALLED:
        return Outcome.STALLED, seen.verdict.reason + _where(seen)
    stalled = _by_pace(seen) if seen.ended_by in ("done", "limit") else None
    return (Outcome.STALLED, stalled + _where(seen)) if stalled else None


def _slow(seen: Observations) -> Found | None:
    if seen.ended_by == "limit" and _progressed(seen):
        held = "held back by the task's own rate limit, " if seen.rate_interval_s else ""
        computing = bool(seen.verdict and seen.verdict.computing)
        silent = f"computing for {seen.quiet_s:.0f} s without an answer, " if computing else ""
        again = "".join(f"; {put_off(said, len(counts))}, {often(counts)}" for said, counts in seen.again.items())
        going = "progressing, " if seen.ok or not computing else ""  # that what computes gets on, only an answer shows
        return Outcome.SLOW, f"{going}{held}{silent}{_at_limit(seen)} with {seen.ok} answers{again}"
    if seen.ended_by == "done" and seen.sending is not None and seen.sending.cut_off:
        return Outcome.SLOW, _cut_off(seen.sending)
    return None


def _further(seen: Observations, found: Sequence[Found]) -> list[str]:
    """What else is to be told beside the first: all that holds but a mere slowness, and what was never answered."""
    wrong = f"{seen.wrong} answer{' is' if seen.wrong == 1 else 's are'} wrong"
    said = [wrong if outcome is Outcome.WRONG else reason for outcome, reason in found[1:] if outcome is not Outcome.SLOW]
    told = any(outcome is Outcome.WAITING for outcome, _ in found)  # its reason counts them
    withdrawn = seen.sending.withdrawn if seen.sending else 0
    silent = seen.unanswered - withdrawn - (seen.lost_requests if found[0][0] is Outcome.CRASHED else 0)
    return [*said, *([f"{silent} never answered"] if silent > 0 and not told else [])]


def _copied(seen: Observations) -> str:
    """A fork inside a task copies all of a worker that has one process: its loop, its connections, and its other tasks."""
    if not seen.copies:
        return ""
    whose = f"process {seen.copies[0]}, a fork" if len(seen.copies) == 1 else f"{len(seen.copies)} processes, forks"
    return f"; {whose} of the worker inside a task, went on as a worker as well, and took requests from it"


def _where(seen: Observations) -> str:
    paused = f"; meanwhile the worker did not consume {seen.paused!r}, says its log (cancel_consumer)" if seen.paused else ""
    return f"; {seen.waited_in}{paused}" if seen.waited_in else paused


def _logged(seen: Observations) -> str:
    if seen.log_error:
        return f"; the last error in its log: {seen.log_error}"
    return f"; its log ends: {seen.log_words}" if seen.log_words else ""


def _progressed(seen: Observations) -> bool:
    """Whether the silence at the end is within the trial's own pace, or whatever is overdue computes: that is no wait."""
    if seen.verdict is not None and seen.verdict.computing:
        return True
    return seen.quiet_s <= max(UNKNOWN_PATIENCE_S, SILENCE_FACTOR * seen.longest_silence_s, 2 * seen.rate_interval_s)


def _at_limit(seen: Observations) -> str:
    return f"cut off at the limit of {seen.limit_s:g} s"


def _cut_off(sending: Sending) -> str:
    return (
        f"arrivals exceed capacity: {sending.cut_off} of the requests sent at {sending.rate_per_s or 0:g} per second still "
        "waited in the queue long after the last was sent, and were withdrawn"
    )


def _by_pace(seen: Observations) -> str | None:
    """Answers come, but for most of the time nobody works on what waits, and the worker did not lack a core meanwhile.

    Requests that each wait a little while executors are free are latency-bound: `measure.cpu_verdict` says so.
    """
    starved = seen.waiting.starved if seen.waiting else 0.0
    if seen.paused or starved < STALL_SHARE or seen.core_wait >= CORE_WAIT * starved:
        return None
    return f"for {starved:.0%} of the time requests waited, in spells of 0.5 s or more, and nobody worked"


def counted(errors: Mapping[str, int], most: int = 2) -> str:
    """'12 x ValueError: …; 3 x KeyError: …', the most frequent first; what differs in an id alone is one kind."""
    ranked = sorted(by_kind(errors).items(), key=lambda item: -item[1])
    text = "; ".join(f"{count} x {message}" for message, count in ranked[:most])
    return text if len(ranked) <= most else f"{text}; and {len(ranked) - most} more kinds"
