"""From what a trial left behind to its record: check the answers, count, classify. Nothing is started or watched here."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from harness import workloads
from harness.client.plan import SENDING
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.judge.causes import NEVER_STARTED, Facts, cause_of
from harness.judge.outcome import Observations, classify
from harness.measure import cpu_facts, cpu_verdict, doubts, figures, noise, occupancy, timeline, waterfall
from harness.records import answers, sending, stamps
from harness.records.answers import Requests, Waiting
from harness.records.outcomes import Outcome
from harness.records.record import CpuFacts, CpuUse, Occupancy, TrialRecord
from harness.run.plan import Bundle
from harness.texts import portable
from harness.trial.trial import Seen, Trial


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What a record says of its trial before anything was run."""

    plan_key: str
    started: str
    versions: dict[str, str]


Read = Callable[[Trial], Requests | None]


def record_of(trial: Trial, heading: Heading, read: Read, run_folder: Path, *, seconds: float) -> TrialRecord:
    """The record, and the requests' Parquet file beside it. `read`: the trial's requests, checked; None if there are none."""
    work, seen = trial.work, trial.seen
    requests = read(trial)
    requests_file, name = "", work.cell.id if work.trial == 1 else f"{work.cell.id}.{work.trial}"
    if requests is not None and len(requests):
        requests_file = f"requests/{name}.parquet"
        answers.save(requests, run_folder / requests_file)
    samples_file = f"samples/{name}.parquet"
    timeline.save(trial.monitor.samples, run_folder / samples_file)
    cpu = _cpu(seen, requests)
    observed = _observations(trial, requests, cpu)
    outcome, reason = classify(observed)
    progress = trial.worker.progress
    ready_s = progress.ready_at_s - seen.started_s if progress.ready_at_s is not None else None
    record = TrialRecord(
        cell_id=work.cell.id,
        cell=work.cell.as_dict(),
        trial=work.trial,
        plan_key=heading.plan_key,
        started=heading.started,
        seconds=seconds,
        outcome=outcome,
        reason=reason,
        evidence=str(seen.evidence.path.relative_to(run_folder)) if seen.evidence else "",
        requests=observed.requests,
        ok=observed.ok,
        wrong=observed.wrong,
        unanswered=observed.unanswered,
        errors=dict(observed.errors),
        max_error=observed.max_error,
        **_measures(trial, requests),
        requests_file=requests_file,
        waited_while_idle=observed.waiting.while_idle if observed.waiting else None,
        starved=observed.waiting.starved if observed.waiting else None,
        ready_s=ready_s,
        warmup_requests=int((requests.columns["phase"] == 1).sum()) if requests else 0,
        load_s={str(pid): took for pid, took in progress.load_seconds.items()},
        cpu=cpu,
        **_what_limited(trial, cpu, requests),
        samples_file=samples_file,
        memory=(used := cpu_facts.memory_use(trial.monitor, requests=cpu.requests if cpu else 0)),
        peak_pss_bytes=sum(used.pss_bytes.values()) if used else None,
        threads_peak=_threads_peak(trial),
        tree_cpu_s=seen.last.worker_tree_cpu_s if seen.last else None,
        kernel_cpu_s=trial.worker.process.kernel_cpu_s,
        last_progress_s=_since_ready(trial),
        duplicates=observed.duplicates,
        sending=observed.sending,
        **_judgement(seen),
        **_cause(trial, outcome, run_folder, heading),
        noise=noise.between(seen.noise),
        versions=heading.versions,
    )
    record = record.model_copy(
        update={"figures": figures.of(record, run_folder), "stages_p50_s": waterfall.medians(record, run_folder)}
    )
    return record.model_copy(update={"doubts": [str(doubt) for doubt in doubts.of_trial(record)]})


def skipped(cell: Cell, trial: int, heading: Heading, reason: str) -> TrialRecord:
    """The record of a cell that was not run."""
    return TrialRecord(
        cell_id=cell.id, cell=cell.as_dict(), trial=trial, plan_key=heading.plan_key, started=heading.started,
        seconds=0.0, outcome=Outcome.SKIPPED, reason=reason, versions=heading.versions,
    )  # fmt: skip


def _judgement(seen: Seen) -> dict[str, Any]:
    """The watchdog's verdict, and the cause that the evidence speaks for, as fields of the record."""
    verdict = seen.verdict if seen.ended_by == "verdict" else seen.partial
    if verdict is None:
        return {}
    after_s = seen.judged_s - verdict.since_s if seen.judged_s is not None and verdict.since_s is not None else None
    return {"verdict_after_s": after_s, "executors": verdict.executors or None, "executors_hung": verdict.hung or None}


def _cause(trial: Trial, outcome: Outcome, run_folder: Path, heading: Heading) -> dict[str, Any]:
    """The likely cause, as fields of the record; it stands in the evidence folder, too, with the versions."""
    seen, progress = trial.seen, trial.worker.progress
    verdict = seen.partial or seen.verdict
    kept = seen.evidence
    cause = cause_of(
        Facts(
            outcome=outcome,
            pool=trial.work.cell.pool,
            how=verdict.how if verdict else None,
            frames=kept.frames if kept else (),
            lost_native=kept.lost_native if kept else (),
            lost_python=kept.lost_python if kept else (),
            dead_children=len(seen.dead),
            never_started=NEVER_STARTED in _last_line(trial.work.folder / "worker.log"),
            oom_kills=seen.oom_kills,
            broker_answers=seen.census.answers if seen.census else True,
            waiting=progress.waiting,
            in_broker=seen.census.messages if seen.census else None,
            consumers=seen.census.connections if seen.census else None,
            queued=_mean(queued for queued, _ in seen.depths),
            reserved=_mean(reserved for _, reserved in seen.depths),
        )
    )
    if cause is None:
        return {}
    if kept is not None:
        told = {"outcome": outcome.value, "cause": cause.name, "support": cause.support, "versions": heading.versions}
        (kept.path.parent / "cause.json").write_text(json.dumps(told, indent=2) + "\n")
    return {"cause": cause.name, "support": list(cause.support)}


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def compared(trial: Trial, bundle: Bundle) -> Requests | None:
    """The requests of one of our own workers, compared with the workload's reference."""
    rtol, atol = workloads.tolerance(bundle.dtype)
    try:
        found = answers.load(trial.result, bundle.reference, batch=trial.work.cell.batch, rtol=rtol, atol=atol)
    except (OSError, BadZipFile, KeyError, ValueError):
        return None  # killed before it could write, or while it did
    return found if trial.work.cell.is_baseline else replace(found, columns=stamps.joined(found.columns, trial.events))


def _cpu(seen: Seen, requests: Requests | None) -> CpuUse | None:
    before, after = seen.before, seen.after
    if before is None or after is None or after.at_s - before.at_s < 0.2:
        return None
    return cpu_facts.use(before, after, requests=requests.between(before.at_s, after.at_s) if requests else 0)


def _what_limited(trial: Trial, cpu: CpuUse | None, requests: Requests | None) -> dict[str, Any]:
    """What the tree did with the cores, and the verdict on it, as fields of the record."""
    if cpu is None:
        return {}
    facts = _cpu_facts(trial, requests)
    verdict = cpu_verdict.judge(cpu, facts)
    return {"cpu_facts": facts, "cpu_verdict": str(verdict), "cpu_verdict_reason": verdict.reason}


def _cpu_facts(trial: Trial, requests: Requests | None) -> CpuFacts | None:
    seen, cell = trial.seen, trial.work.cell
    assert seen.before is not None
    assert seen.after is not None
    columns = requests.columns if requests is not None else {"pid": np.array([]), "tid": np.array([])}
    busy = Occupancy(executors=cell.concurrency, executors_busy=1.0, work_waits=1.0, idle_with_work=0.0)
    if not cell.is_baseline:  # which predicts without a pause
        begin_s, end_s = seen.before.at_s, seen.after.at_s
        found = occupancy.of(columns, capacity=cell.concurrency, begin_s=begin_s, end_s=end_s) if requests else None
    return cpu_facts.of(
        trial.monitor,
        seen.before,
        seen.after,
        executors=frozenset(zip(columns["pid"].tolist(), columns["tid"].tolist(), strict=True)),
        occupancy=busy if cell.is_baseline else found,
        kind="in-process" if cell.is_baseline else POOLS[cell.pool].executors,
    )


def _observations(trial: Trial, requests: Requests | None, cpu: CpuUse | None) -> Observations:
    work, seen, progress = trial.work, trial.seen, trial.worker.progress
    settings = work.settings
    window = cpu.window_s if cpu else 0.0
    waiting = _waiting(trial, requests)
    said = sending.read(work.folder / SENDING)
    return Observations(
        ended_by=seen.ended_by,
        verdict=seen.verdict,
        partial=seen.partial,
        duplicates=said.duplicates if said else 0,
        sending=said,
        unsupported=progress.unsupported or "",
        worker_exit=seen.worker_exit,
        dead_children=len(seen.dead),
        no_consumer=seen.no_consumer,
        lost_requests=_lost(seen, requests),
        was_ready=progress.ready_at_s is not None,
        client_exit=seen.client_exit,
        never_struck=work.outside is not None and not work.outside.struck,
        log_tail=_last_line(work.folder / "worker.log"),
        requests=len(requests) if requests else progress.published,
        ok=int(requests.right.sum()) if requests else 0,
        wrong=int(requests.wrong.sum()) if requests else 0,
        unanswered=int((requests.columns["received"] < 0).sum()) if requests else progress.published,
        errors=_errors(requests) if requests else {},
        max_error=requests.max_error if requests else None,
        waiting=waiting,
        waited_in=_waited_in(trial, requests, waiting),
        busy_cores=cpu.ours / window if cpu else None,
        client_cores=cpu.client / window if cpu else None,
        others_share=cpu.others_share if cpu else None,
        idle_share=cpu.idle_share if cpu else 1.0,
        noise_limit=settings.noise_limit,
        quiet_s=seen.quiet_s,
        longest_silence_s=seen.longest_silence_s,
        limit_s=settings.limit_s if progress.ready_at_s is not None else settings.ready_limit_s,
    )


def _errors(requests: Requests) -> dict[str, int]:
    """Counts by exception; billiard's own number of a job is left out, so that equal errors count as equal."""
    found: Counter[str] = Counter()
    for text, count in requests.errors().items():
        found[re.sub(r" Job: \d+\.?", "", portable(text))] += count
    return dict(found)


def _lost(seen: Seen, requests: Requests | None) -> int:
    if requests is None:
        return len(seen.lost)
    return sum(int(requests.columns["received"][number]) < 0 for number in seen.lost if number < len(requests))


def _waiting(trial: Trial, requests: Requests | None) -> Waiting | None:
    cell, phases = trial.work.cell, trial.worker.progress.phase_at_s
    if requests is None or cell.is_baseline or "measure" not in phases:
        return None
    end = phases.get("drain", trial.worker.progress.last_event_s or phases["measure"])
    if trial.worker.progress.has_put_off:
        return None  # whether a request waits for an executor, or for the moment that its own task named, is not known
    return answers.waiting(requests, capacity=cell.concurrency, begin_s=phases["measure"], end_s=end)


def _waited_in(trial: Trial, requests: Requests | None, waiting: Waiting | None) -> str:
    """Where requests waited while executors were free, or stand since all stands still; in words, '' if nothing tells."""
    cell, progress = trial.work.cell, trial.worker.progress
    begin_s = progress.phase_at_s.get("measure")
    if requests is None or cell.is_baseline:
        return ""
    if trial.seen.ended_by == "verdict":
        return waterfall.in_words(waterfall.standing_in(requests.columns), "stand")
    if begin_s is None:
        return ""
    end_s = progress.phase_at_s.get("drain") or progress.last_event_s or begin_s
    nobody = waiting is not None and waiting.starved > 0
    return waterfall.in_words(
        waterfall.waited_in(requests.columns, capacity=cell.concurrency, begin_s=begin_s, end_s=end_s, nobody=nobody)
    )


def _measures(trial: Trial, requests: Requests | None) -> dict[str, Any]:
    """Pace of the measured phase, and the first predict, as fields of the record."""
    if requests is None or not len(requests):
        return {}
    columns, phases = requests.columns, trial.worker.progress.phase_at_s
    first = (columns["received"][0] - columns["published"][0]) * 1e-9 if columns["received"][0] >= 0 else None
    pids = columns["pid"][columns["pid"] >= 0]
    found: dict[str, Any] = {"first_predict_s": first, "executors_seen": len(np.unique(pids))}
    if "measure" in phases:
        received = columns["received"] * 1e-9
        end = phases.get("drain") or float(received.max())
        inside = requests.right & (received >= phases["measure"]) & (received <= end)
        found |= {
            "measured_s": end - phases["measure"],
            "measured_requests": int(inside.sum()),
        }
    return found


def _threads_peak(trial: Trial) -> dict[str, int]:
    peak = {"worker": 0, "child": 0}
    for sample in trial.monitor.samples:
        for pid, count in sample.threads.items():
            role = "worker" if pid == trial.worker.process.pid else "child"
            peak[role] = max(peak[role], count)
    return peak


def _since_ready(trial: Trial) -> float | None:
    progress = trial.worker.progress
    if progress.ready_at_s is None or progress.last_event_s is None:
        return None
    return progress.last_event_s - progress.ready_at_s


def _last_line(log: Path) -> str:
    """The last line of a log that says something."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "no log"
    return portable(lines[-1])[:300] if lines else "the log is empty"
