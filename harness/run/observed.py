"""What the judge gets to see of a trial: what it left and its checked requests, as plain counts and shares. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from harness.client.plan import SENDING
from harness.experiment.brokers import AMQP
from harness.experiment.pools import POOLS
from harness.judge.causes import NEVER_STARTED, Facts, is_at_lock
from harness.judge.outcome import SILENCE_FACTOR, Observations
from harness.measure import waterfall
from harness.observe.looks import patience_s
from harness.records import answers, sending, stamps
from harness.records.answers import Requests, Waiting
from harness.records.cpu import Cpu, CpuFacts, CpuUse
from harness.records.outcomes import Outcome
from harness.records.sections import Backlog
from harness.records.sending import Sending
from harness.texts import portable
from harness.trial.left import Left

HELD_BACK = 0.25  # of the looks: a worker that is at work is seen so now and then


def observations(left: Left, requests: Requests | None, cpu: Cpu) -> Observations:
    end, signs, settings = left.ended, left.signs, left.settings
    said = sending.read(left.result.with_name(SENDING))
    begin_s = _work_from_s(left, requests, said)
    waiting = _waiting(left, requests, begin_s)
    return Observations(
        ended_by=end.by,
        verdict=end.verdict,
        partial=end.partial,
        duplicates=said.duplicates if said else 0,
        sending=said,
        unsupported=end.unsupported,
        worker_exit=end.worker_exit,
        dead_children=len(signs.dead),
        no_consumer=end.no_consumer,
        lost_requests=_lost(left, requests),
        was_ready=signs.ready_at_s is not None,
        client_exit=end.client_exit,
        never_struck=end.never_struck,
        log_tail=end.log_line,
        log_error=end.log_error,
        log_words=end.log_words,
        backlog=tuple(in_words(one) for one in backlog(left) if one.consumed),
        at_lock=bool(end.evidence and (end.evidence.lock or is_at_lock(end.evidence.frames))),
        waits=end.evidence.waits if end.evidence else (),
        requests=len(requests) if requests else signs.published,
        ok=int(requests.right.sum()) if requests else 0,
        wrong=int(requests.wrong.sum()) if requests else 0,
        unanswered=int((requests.columns["received"] < 0).sum()) if requests else signs.published,
        errors=_errors(requests) if requests else {},
        max_error=requests.max_error if requests else None,
        waiting=waiting,
        waited_in=_waited_in(left, requests, waiting, begin_s),
        paused=end.log_paused if end.by == "done" else "",
        core_wait=cpu.facts.run_queue_wait_s / cpu.facts.span_s if cpu.facts and cpu.facts.span_s else 0.0,
        needs_cores=_needs_cores(cpu.use, cpu.facts) if cpu.use and cpu.facts else None,
        client_cores=cpu.use.client / cpu.use.window_s if cpu.use else None,
        others_share=cpu.use.others_share if cpu.use else None,
        noise_limit=settings.noise_limit,
        put_off=signs.put_off,
        again=signs.again,
        copies=signs.copies,
        quiet_s=signs.quiet_s,
        longest_silence_s=max(signs.longest_silence_s, _usual_silence_s(left)),
        rate_interval_s=left.rate_interval_s,
        limit_s=settings.limit_s if signs.ready_at_s is not None else settings.ready_limit_s,
    )


def _needs_cores(use: CpuUse, facts: CpuFacts) -> float | None:
    """Cores per executor that had a request; None if it is not known how many had."""
    at_work = facts.occupancy.executors * facts.occupancy.executors_busy if facts.occupancy else 0.0
    if not at_work or not facts.span_s:
        return None
    return (use.worker_tree / use.window_s + facts.run_queue_wait_s / facts.span_s) / at_work


def backlog(left: Left) -> list[Backlog]:
    """What other tasks than ours waited when the trial had ended. What is not known to be left out counts as consumed."""
    queues = left.ended.consumed
    return [
        Backlog(
            queue=one.queue,
            task=one.task,
            waiting=one.waiting,
            reserved=one.reserved,
            consumed=queues is None or one.queue in queues,
        )
        for one in left.ended.backlog
    ]


def in_words(one: Backlog) -> str:
    """'2 messages of tasks.child wait in queue celery, and this worker has reserved 1'."""
    reserved = f"this worker has reserved {one.reserved} of {one.task} in queue {one.queue}"
    if not one.waiting:
        return reserved
    waiting = f"{one.waiting} messages of {one.task} wait in queue {one.queue}"
    return f"{waiting}, and this worker has reserved {one.reserved}" if one.reserved else waiting


def facts(left: Left, outcome: Outcome) -> Facts:
    """What the likely cause is found from."""
    end, signs = left.ended, left.signs
    verdict, kept = end.partial or end.verdict, end.evidence
    census = None if left.cell.is_baseline else end.census  # without a worker nobody is connected
    return Facts(
        outcome=outcome,
        pool=left.cell.pool,
        how=verdict.how if verdict else None,
        frames=kept.frames if kept else (),
        lost_native=kept.lost_native if kept else (),
        lost_python=kept.lost_python if kept else (),
        lock=kept.lock if kept else "",
        shared=end.shared,
        held=any(text.startswith("a request") for text in kept.waits) if kept else False,
        dead_children=len(signs.dead),
        never_started=NEVER_STARTED in end.log_line,
        asked=end.log_asked if (end.by, end.worker_exit) == ("worker-exit", "exit 0") else "",
        unread=end.log_unread if end.by == "worker-exit" else "",
        serial_waits=left.baseline_waits,
        oom_kills=end.oom_kills,
        oom_counted=end.oom_counted,
        broker_answers=census.answers if census else True,
        waiting=signs.waiting,
        in_broker=census.messages if census else None,
        consumers=census.connections if census else None,
        queued=_mean(queued for queued, _ in left.machine.depths),
        reserved=_mean(reserved for _, reserved in left.machine.depths),
        held_back=_held_back(left),
    )


def _held_back(left: Left) -> str:
    """How often RabbitMQ had handed out all that the worker may prefetch, and held back others; '' if hardly ever. A worker of
    Valkey's asks for messages by itself, whatever it has not acknowledged."""
    cell, looks = left.cell, left.machine.depths
    window = cell.prefetch * cell.concurrency
    if cell.is_baseline or cell.broker not in AMQP or not window:
        return ""
    found = sum(queued > 0 and unacknowledged >= window for queued, unacknowledged in looks)
    if found < HELD_BACK * len(looks) or not found:
        return ""
    return (
        f"at {found} of {len(looks)} looks RabbitMQ held messages back, for {window} were handed out and not acknowledged: all "
        "that this worker may prefetch"
    )


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _errors(requests: Requests) -> dict[str, int]:
    """Counts by exception; billiard's own number of a job is left out, so that equal errors count as equal."""
    found: Counter[str] = Counter()
    for text, count in requests.errors().items():
        found[re.sub(r" Job: \d+\.?", "", portable(text))] += count
    return dict(found)


def _lost(left: Left, requests: Requests | None) -> int:
    """Requests that dead processes held and that were never answered."""
    lost = left.signs.lost
    if requests is None:
        return len(lost)
    return sum(int(requests.columns["received"][number]) < 0 for number in lost if number < len(requests))


def _usual_silence_s(left: Left) -> float:
    """The silence that a request makes which is not overdue: as long as that, nobody can say that it made no progress."""
    return patience_s(left.usual_s) / SILENCE_FACTOR if left.usual_s is not None else 0.0


def _work_from_s(left: Left, requests: Requests | None, said: Sending | None) -> float | None:
    """From when on it is asked whether work waited: where nothing was warmed up, a child may only start as it is measured."""
    begin_s = left.measured_from_s
    if begin_s is None or requests is None or said is None or not said.few:
        return begin_s
    begun = requests.columns["begin"]
    return max(begin_s, float(begun[begun >= 0].min()) * answers.NS) if (begun >= 0).any() else begin_s


def _waiting(left: Left, requests: Requests | None, begin_s: float | None) -> Waiting | None:
    if requests is None or left.cell.is_baseline or begin_s is None:
        return None
    if left.names_moments:
        return None
    end_s = left.measured_to_s or begin_s
    others = stamps.other_tasks(left.events)
    return answers.waiting(requests, capacity=_surely_free(left), begin_s=begin_s, end_s=end_s, others=others)


def _surely_free(left: Left) -> int:
    """Below how many running requests an executor is free for sure. Greenlets share one thread: a request that stands in C
    stops them all, so that one is free for sure only while none runs.
    """
    return 1 if POOLS[left.cell.pool].executors == "greenlets" else left.cell.concurrency


def _waited_in(left: Left, requests: Requests | None, waiting: Waiting | None, begin_s: float | None) -> str:
    """Where requests waited while executors were free, or stand since all stands still; in words, '' if nothing tells."""
    if requests is None or left.cell.is_baseline:
        return ""
    if left.ended.by == "verdict":
        return waterfall.in_words(waterfall.standing_in(requests.columns), "stand")
    if begin_s is None:
        return ""
    held_back = _held_back(left) if waiting is not None and waiting.starved > 0 else ""
    end_s, nobody = left.measured_to_s or begin_s, waiting is not None and waiting.starved > 0
    where = waterfall.in_words(
        waterfall.waited_in(requests.columns, capacity=_surely_free(left), begin_s=begin_s, end_s=end_s, nobody=nobody)
    )
    return "; ".join(filter(None, [where, held_back]))
