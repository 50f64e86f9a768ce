"""The answer of `harness why`: as text, the state first and the evidence last, and as JSON, whose form is a contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.judge.singular import of_one
from harness.live.answer import Report
from harness.live.executor import WORST, Executor, State
from harness.live.whereabouts import Place
from harness.live.wording import duration
from harness.texts import visible

SCHEMA = 1


def state_of(reports: Iterable[Report]) -> State:
    """Of all workers: as bad as the worst."""
    return min((one.state for one in reports), key=WORST.index, default=State.UNKNOWN)


def text(report: Report) -> str:
    """All that is said of one worker."""
    named = ", ".join(part for part in (report.app, report.hostname, pool_of(report)) if part)
    lines = [f"worker {report.pid}{f' ({named})' if named else ''}: {report.state}", f"  {report.reason}"]
    proofs = [one.how.value for one in report.executors if one.how and one.state is State.STUCK]
    lines += [f"  proof: {f'they {how}' if len(proofs) > 1 else of_one(f'they {how}')}" for how in dict.fromkeys(proofs)]
    if report.cause:
        likely = "" if report.state is State.STUCK else ", most likely"
        lines.append(f"  cause: {report.cause}{likely}" + (f": {'; '.join(report.support)}" if report.support else ""))
    lines += [f"  {doubt}" for doubt in _doubts(report)]
    lines += [f"  now: {report.now}"] if report.now else []
    lines += [f"  for good: {report.for_good}"] if report.for_good else []
    lines += [f"    {_executor(one)}" for one in report.executors]
    lines += [f"    {report.idle} idle"] if report.idle else []
    lines += [f"  also: {one['cause']}: {one['reason']}" for one in report.broker.get("also", ())]
    lines += [f"  broker: {broker}"] if (broker := broker_of(report)) else []
    lines += [f"  not seen: {one}" for one in report.unseen]
    return "\n".join(visible(line) for line in lines)


def _doubts(report: Report) -> list[str]:
    """Why what looks like a hang is not called one, each reason once."""
    doubts = dict.fromkeys(one.doubt for one in report.executors if one.doubt and one.state is not State.WORKS)
    return [f"not proved: {doubt}" for doubt in doubts]


def pool_of(report: Report) -> str:
    """'prefork x 2', as far as it is known."""
    return f"{report.pool} x {report.concurrency}" if report.pool and report.concurrency else report.pool


def _executor(one: Executor) -> str:
    who = f"process {one.pid}" + ("" if one.pid == one.tid else f", thread {one.tid}")
    task = f" {one.task}" if one.task else ""
    known = f"[{one.task_id}]" if one.task_id else ""
    waits = f"; waits for {one.waits_for}" if one.waits_for else ""
    owner = f"; held by {one.owner}" if one.owner else ""
    return f"{who}: {one.state}, {one.does}{task}{known} for {duration(one.since_s)}{waits}{owner}"


def broker_of(report: Report) -> str:
    """What the broker said, in words; '' if it was not asked."""
    found = report.broker
    if "url" not in found:
        return ""
    if not found["answers"]:
        return f"{found['url']} does not answer: {found['why']}"
    asks = {True: "the worker asks for work", False: "the worker does not ask for work", None: ""}[found["asks"]]
    said = [*_held(found), *([asks] if asks else [])]
    return f"{found['url']}: {'; '.join(said)}"


def _held(found: Mapping[str, Any]) -> list[str]:
    """What waits in the broker, and what is handed out."""
    if found["queues"] is None:
        return ["what waits for it cannot be told"]
    waiting = ", ".join(f"{count} in {name}" for name, count in found["queues"].items()) or "nothing"
    return [f"{waiting} waits", f"{found['unacked']} handed out and not acknowledged"]


def of_place(place: Place) -> str:
    """Where one request is."""
    lines = [f"request {place.id}: {place.where}", f"  {place.said}", *(f"  not seen: {one}" for one in place.unseen)]
    return "\n".join(visible(line) for line in lines)


def as_json(reports: Sequence[Report], place: Place | None = None) -> dict[str, Any]:
    """The contract: schema 1. `task` is there if one was asked for."""
    found: dict[str, Any] = {"schema": SCHEMA, "state": state_of(reports).value, "workers": [of_worker(one) for one in reports]}
    if place is not None:
        found["task"] = {"id": place.id, "where": place.where, "said": place.said, "unseen": list(place.unseen)}
    return found


def of_worker(one: Report) -> dict[str, Any]:
    """One entry of `workers`."""
    return {
        "pid": one.pid, "app": one.app, "pool": one.pool, "concurrency": one.concurrency, "state": one.state.value,
        "reason": one.reason, "cause": one.cause, "support": [*one.support, *_doubts(one)], "since_s": _rounded(one.since_s),
        "now": one.now, "for_good": one.for_good,
        "executors": [
            {
                "pid": each.pid, "tid": each.tid, "state": each.state.value, "task_id": each.task_id, "task": each.task,
                "since_s": _rounded(each.since_s),
                "waits_for": [{"what": each.waits_for, "owner": each.owner}] if each.waits_for else [],
            }
            for each in one.executors
        ],
        "broker": one.broker, "unseen": list(one.unseen),
    }  # fmt: skip


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
