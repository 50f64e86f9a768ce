"""What is said of a trial of somebody's own application beside the judge's reason: its limits, its children, its loads. Pure.

Each sentence names the setting that decides, so that its owner knows what to change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from harness.applications.probe import checks
from harness.applications.probe.checks import AnswerCheck, Reference
from harness.decide.advise.overhead import HELD_BACK, REPLACES, SETS_THE_PACE
from harness.experiment import brokers
from harness.experiment.pools import POOLS
from harness.measure.doubts import REPLACED_SHARE
from harness.records.outcomes import ANSWERED, STUCK, Outcome
from harness.records.record import TrialRecord
from harness.summary import pattern
from harness.texts import few, visible, without_secrets
from harness.trial.application import Limits
from harness.trial.left import Ending

BY_REPLACING = (Outcome.STALLED, Outcome.RESPAWNING, Outcome.CRASHED, Outcome.SLOW, Outcome.WAITING)
STRUCK_SHARE = 0.95  # of a soft limit: whoever catches it answers then
AGAIN_SHARE, LOADED_SHARE, AGAIN_FACTOR, AGAIN_S = 0.3, 0.1, 10.0, 0.1  # see `loaded_again`
FAR_BELOW = 0.5  # of a rate limit: what is served then is not what it allows
MOSTLY = 0.5  # of the wrong answers, if requests get each other's: by chance some rows' are alike
ALL_WRONG = 5  # answers, so that it is no chance
VALUE_MOST = 48  # characters of an answer that is quoted
NOT_JSON = re.compile(r"EncodeError\b.*Object of type '?(\w+)'? is not JSON serializable")  # json/encoder.py
COROUTINE = re.compile(r"EncodeError\b.*\bcoroutine\b|pickle '?coroutine")  # what kombu's serializers say of one


def reworded(reason: str, check_text: str, checked: str, check: AnswerCheck) -> str:
    """The judge's reason, by what answers, and which part of them, were held against here."""
    if check_text:
        told = re.sub("differ from the reference by up to [^;]*", "fail the check", reason)
    else:
        told = reason.replace("the reference by up to inf", "those of serial calls")
        told = told.replace("differ from the reference", "differ from those of serial calls")
        if isinstance(check, Reference) and check.differed and "differ from" in told:
            told += f"; {_most_often(check)}"
    if isinstance(check, Reference) and not check.usable:
        checked = "came"
    elif isinstance(check, Reference) and checked and check.part:
        checked = f"{checked} in {check.part}"
    return told.replace("match the reference", checked or "came")


def _most_often(check: Reference) -> str:
    """The place in which most answers differ, an example, and how sure one is that it is not one that changes by itself."""
    place, count = check.differed.most_common(1)[0]
    row, one = check.examples[place]
    agree = ", in all their processes" + (", and again after this trial" if check.upheld else "")
    which = check.mix.named(row) if check.mix else f"row {row + 1}"
    example = f"for {which}, {_short(one.expected)} was expected and {_short(one.got)} came"
    return f"{checks.named(place)} in {count}, such as: {example}; the serial calls agree on it{agree}"


def _short(value: Any) -> str:
    """A JSON value, as text, of VALUE_MOST characters."""
    text = without_secrets(visible(json.dumps(value, ensure_ascii=False, default=str)))
    return text if len(text) <= VALUE_MOST else f"{text[: VALUE_MOST - 1]}…"


def by_settings(record: TrialRecord, limits: Limits, serial: TrialRecord | None) -> list[str]:
    """The settings that decided how this trial went, and what each process did again; a sentence each."""
    if record.as_cell.is_baseline:
        return _endless(record, limits)
    said = [*_hard(record, limits, serial), *_soft(record, limits), *replaced(record, limits), *_own_child(record, serial)]
    said += _delivered_again(record, limits)
    said += _late(record, limits)
    if record.answers.tasks:  # of a mix: its tasks have a pace, a rate and first calls of their own each
        return said
    said = [*_rate(record, limits, serial), *said]
    return said if said and record.answers.died else [*said, *loaded_again(record, serial)]


def outcome(
    record: TrialRecord, limits: Limits, *, compared: bool, endless: Collection[str], outside: Collection[str]
) -> Outcome:
    """The judge's word, by what is known of the application. `compared`: its answers were held against something that the trial
    did not change. In words, if it is so: `endless`: what was not answered is tried again for ever, without Celery, too;
    `outside`: requests failed after or before their task's own body, which Celery tells of as a failure, whatever was answered.
    """
    if outside and record.outcome in ANSWERED:
        return Outcome.ERRORS
    if record.outcome is Outcome.OK and not compared:
        return Outcome.UNCHECKED
    if record.outcome is Outcome.STALLED and record.answers.died and replaced(record, limits):
        return Outcome.SLOW  # it waits for children that a setting of its own replaces
    return Outcome.ERRORS if endless and record.outcome in (Outcome.SLOW, Outcome.WAITING) else record.outcome


def _late(record: TrialRecord, limits: Limits) -> list[str]:
    """Whether greenlets stall that may take a message only once another one is acknowledged: their loop asks for the next one
    late then. With Celery 5.7 that took 97 % of the time with late acknowledgements; without, on Redis, 100 % with one executor
    and 88 % with two; never with a multiplier of 4. There the loop asks Redis for a message only if one more may be taken, and
    then waits for up to 2 s, while the greenlet acknowledges (`synloop` in celery/worker/loops.py, `MultiChannelPoller.get` in
    kombu/transport/redis.py)."""
    green, cell = POOLS[record.as_cell.pool].executors == "greenlets", record.as_cell
    if record.outcome is not Outcome.STALLED or not green or limits.prefetch_multiplier != 1:
        return []
    if not limits.acks_late and cell.broker != brokers.VALKEY:
        return []
    late = "task_acks_late and " if limits.acks_late else ""
    return [
        f"with {late}a worker_prefetch_multiplier of 1 it takes a message only once another one is acknowledged, and its loop "
        "looks again up to 2 s later: a multiplier of 4 lets some wait in the worker"
    ]


def _delivered_again(record: TrialRecord, limits: Limits) -> list[str]:
    """Whether a request that ends its child is begun again in the next one, and so on."""
    again = limits.acks_late and limits.reject_on_worker_lost
    if not again or record.outcome not in (Outcome.CRASHED, Outcome.RESPAWNING) or not record.answers.died:
        return []
    if POOLS[record.as_cell.pool].executors != "processes":
        return []
    return [
        "task_reject_on_worker_lost delivers the message of a child that died again: a row that ends its child does so for "
        "ever, and is never answered; without it, that request fails once, with WorkerLostError"
    ]


def _endless(record: TrialRecord, limits: Limits) -> list[str]:
    """Of serial calls without an end: that a time limit of the task's own would end them."""
    names = [(name, bound) for name, bound in (("soft", limits.soft_s), ("hard", limits.hard_s)) if bound]
    if record.outcome not in STUCK or not names:
        return []
    name, bound = names[0]
    return [f"the serial calls keep no time limit: in prefork the task's {name} limit of {bound:g} s ends such a wait"]


def _own_child(record: TrialRecord, serial: TrialRecord | None) -> list[str]:
    """Whether requests that stand still, or wait in vain up to a time limit, may wait for another task, whose messages this
    worker has no free executor for."""
    if serial is not None and record.outcome is Outcome.ERRORS and pattern.waits_for_nobody(serial):
        names = few([visible(one.task) for one in serial.answers.backlog])
        return [
            f"it may wait for {names}, which nobody runs without Celery: if all executors of a worker wait so, nobody is left "
            "to run it here, either. Let no task wait for another one, or give that one a queue and a worker of its own"
        ] * (pattern.kinds(record) <= pattern.kinds(serial))
    if record.outcome not in STUCK:
        return []
    return [
        f"they may wait for {visible(one.task)}: {one.waiting + one.reserved} of it wait in this same worker, for a free "
        "executor or for their time. Let no task wait for another one, or give that one a queue and a worker of its own"
        for one in record.answers.backlog
        if one.consumed
    ]


def beside_each_other(record: TrialRecord, check: AnswerCheck, right_in: Collection[str] = ()) -> list[str]:
    """What wrong answers have in common: they are another row's where they are wrong, or, if requests share a process, all are
    wrong. `right_in`: pools that ran the task in a main thread, and answered right."""
    answers = record.answers
    if told := _main_thread(record) or _not_stored(record):
        return [told]
    if record.as_cell.is_baseline or record.outcome is not Outcome.WRONG or not isinstance(check, Reference):
        return []
    inside = POOLS[record.as_cell.pool].executors in ("threads", "greenlets")
    crossed, looked = check.crossed[True], check.crossed.total()
    # else one label of few may be that of another row by itself; so may some of what is wrong in another way
    if crossed > MOSTLY * looked and (inside or check.swapped):
        over = "" if inside else ", over what their processes share (a file, a database, a connection)"
        theirs = f"are another row's where they are wrong: requests may get each other's data{over}"
        return [f"of {looked} wrong answers {crossed} {theirs}"]
    if not inside or answers.ok or answers.wrong < ALL_WRONG or not right_in:
        return []
    return [
        f"each answer is wrong, from the first on, and right in {few(sorted(right_in))}: look for a setting that the importing "
        "thread made, and that does not hold in other threads (a threading.local, a context variable, a library's set_config)"
    ]


def _main_thread(record: TrialRecord) -> str:
    """Whether Python itself refused what only a process's main thread may do: no data that requests share is at fault."""
    if not pattern.needs_main_thread(record):
        return ""
    return (
        "the task does what Python allows in a process's main thread alone, and here it runs in another: in prefork and solo "
        "it runs in the main one; a time limit by signal.alarm can become a timeout of the call itself, or, in prefork, the "
        "task's soft_time_limit"
    )


def _not_stored(record: TrialRecord) -> str:
    """Whether answers are what no serializer takes, coroutines, or what JSON does not have."""
    errors = record.answers.errors
    if any(COROUTINE.search(text) for text in errors):
        return "the task is an async function, and Celery does not await it: let a plain function call asyncio.run"
    kind = next((told[1] for text in errors if (told := NOT_JSON.search(text))), "")
    return kind and (
        f"its answer holds {kind}, which JSON does not have: let the task return plain numbers, strings, lists and dicts; "
        "NumPy's have item() and tolist()"
    )


def _rate(record: TrialRecord, limits: Limits, serial: TrialRecord | None) -> list[str]:
    """Whether the task's rate limit holds requests back for longer than its executors do. It holds for one worker. A pace far
    below it is not the limit's own doing: Celery's bucket then gives less than it should. On Redis, with 300 requests at once
    and a limit of 20 per second, 1.8 per second were begun (Celery 5.7)."""
    usual_s = serial.certainty.figures.predict_p50_s if serial and serial.certainty.figures else None
    if not limits.rate_per_s or (usual_s or 0.0) / record.as_cell.concurrency >= 1 / limits.rate_per_s:
        return []
    often = f"{limits.rate_per_s:.3g} per second" if limits.rate_per_s >= 1 else f"{60 * limits.rate_per_s:.3g} per minute"
    pace_per_s = record.certainty.figures.throughput_per_s if record.certainty.figures else None
    if pace_per_s is not None and pace_per_s < FAR_BELOW * limits.rate_per_s:
        less = f"{pace_per_s:.2g} per second were served, {pace_per_s / limits.rate_per_s:.0%} of what it allows"
        return [f"its rate limit lets a worker begin {often}, and {less}: {HELD_BACK}"]
    return [f"its rate limit lets a worker begin {often}: {SETS_THE_PACE}"]


def _hard(record: TrialRecord, limits: Limits, serial: TrialRecord | None) -> list[str]:
    killed = _raised(record, "TimeLimitExceeded")
    if not killed or not limits.hard_s:
        return []
    first_s = serial.pace.first_predict_s if serial else None
    usual_s = serial.certainty.figures.predict_p50_s if serial and serial.certainty.figures else None
    if first_s is not None and usual_s is not None and first_s > limits.hard_s > usual_s:
        helps = f"the first call takes {first_s:.2g} s: raise the limit, or build what it needs before the worker starts"
    else:
        helps = "raise the limit, or ask for less per request"
    return [f"its hard time limit of {limits.hard_s:g} s ended {killed} of {record.answers.requests} requests, and {helps}"]


def _soft(record: TrialRecord, limits: Limits) -> list[str]:
    raised = _raised(record, "SoftTimeLimitExceeded")
    longest_s = record.pace.slowest_s or 0.0
    struck = limits.soft_s is not None and (raised or longest_s >= STRUCK_SHARE * limits.soft_s)
    if not struck or POOLS[record.as_cell.pool].executors != "processes":
        return []
    caught = "" if raised else f" (a request took {longest_s:.2g} s), and a task that catches it answers otherwise"
    return [
        f"its soft time limit of {limits.soft_s:g} s strikes in this pool{caught}; threads, gevent, eventlet and solo keep none"
    ]


def _raised(record: TrialRecord, name: str) -> int:
    return sum(count for text, count in record.answers.errors.items() if text.startswith(name))


def replaced(record: TrialRecord, limits: Limits) -> list[str]:
    """Which setting replaces the children of a pool that did badly by it, or whose pace it decides; not if they crashed."""
    cell, died, ended = record.as_cell, record.answers.died, record.answers.ok + sum(record.answers.errors.values())
    often = died > 0 and died >= REPLACED_SHARE * record.answers.ok
    if cell.is_baseline or POOLS[cell.pool].executors != "processes" or not (often or record.outcome in BY_REPLACING):
        return []
    if _raised(record, "WorkerLostError"):
        return []
    tasks = limits.max_tasks_per_child
    bounds = (("worker_max_tasks_per_child", tasks if tasks and tasks <= max(1, ended) else None, "tasks"),
              ("worker_max_memory_per_child", limits.max_memory_per_child_kib, "KiB"))  # fmt: skip
    seen = f": {died} children were, beside {record.answers.ok} answers" if often else ""
    return [f"{name} {REPLACES} {bound} {unit}{seen}" for name, bound, unit in bounds if bound]


def loaded_again(record: TrialRecord, serial: TrialRecord | None) -> list[str]:
    """Whether the usual request of this trial computes for as long as a first one, and far longer than later serial calls."""
    usual = serial.certainty.figures.predict_p50_s if serial and serial.certainty.figures else None
    firsts = [one.pace.first_predict_s for one in (record, serial) if one is not None and one.pace.first_predict_s]
    use = record.cpu.use
    if usual is None or use is None or not use.requests or not firsts:
        return []
    first_s, here_s = min(firsts), use.worker_tree / use.requests
    # by the clock a first one takes longer on a full machine, and so does each of these; by CPU they do not
    took_s = (record.certainty.figures.predict_p50_s or 0.0) if record.certainty.figures else 0.0
    few = record.client.sending is not None and record.client.sending.few  # its CPU is that of the first ones, too
    costs = (here_s >= AGAIN_SHARE * first_s and not few) or (
        took_s >= AGAIN_SHARE * first_s and here_s >= LOADED_SHARE * first_s
    )
    if not costs or first_s < max(AGAIN_S, AGAIN_FACTOR * usual):
        return []
    return [
        f"every request costs what a first one costs ({here_s:.2g} s of CPU; later serial calls take {usual:.2g} s): what it "
        "needs is loaded again in each, since nothing keeps it from request to request in this pool"
    ]


def last_words(ended: Ending) -> str:
    """'exit 2: error: argument --mode: invalid choice', what a process said last before it ended."""
    last = ended.log_words.rpartition(" / ")[2]
    return f"{ended.worker_exit}: {last}" if last else ended.worker_exit


def own_peak(record: TrialRecord) -> int | None:
    """Of serial calls, the memory of their own process: beside it are others that make the same calls, see `worker.witness`."""
    if not record.as_cell.is_baseline or record.memory.use is None:
        return record.memory.peak_pss_bytes
    return record.memory.use.pss_bytes.get("worker", record.memory.peak_pss_bytes)
