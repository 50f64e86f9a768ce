"""What a trial of somebody's own application left beside its requests, for the words of its record. Pure, but for one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.results import whole_lines
from harness.experiment.mix import Mix
from harness.experiment.pools import POOLS
from harness.judge.outcome import counted
from harness.observe.progress import PUT_OFF
from harness.records import stamps
from harness.records.answers import Requests
from harness.summary.pattern import NEVER_CALLED
from harness.texts import few, visible
from harness.trial import worker_log
from harness.trial.application import told
from harness.trial.left import Left
from harness.worker import contract, own_settings

#: what a task does again and again, and did in the serial calls -> so, and what helps
WITHOUT_END = {
    PUT_OFF[contract.RETRIED]: "retries without an end, as it does without Celery: let it raise in the end, by max_retries",
    PUT_OFF[contract.REQUEUED]: (
        "puts its message back without an end (Reject with requeue), and rejects it without Celery, too: let it retry with "
        "max_retries, or reject it for good"
    ),
}
IN_ONE_PROCESS = (
    "it may load something that others meet half loaded, for they share a process. Load it under a lock (threading.Lock), or "
    "in worker_init"
)
BESIDE = {  # by executors
    "threads": IN_ONE_PROCESS,
    "greenlets": IN_ONE_PROCESS,
    "processes": "it may make something that all processes use (a file, a cache, a port). Make that before the worker starts",
}
LEAST_LATER = 5  # right answers of requests that were begun once the first one was answered: so it is no chance
LEAST_AT_FIRST = 10  # requests that raised, and that were answered
BUSY_SHARE = 0.2  # of the executors' time


@dataclass(frozen=True, kw_only=True)
class Seen:
    """`late`: settings that its worker had otherwise, in words; `by`: what ended it; `frames`: the stack of the blocked thread,
    innermost first; `busy`: with what other tasks its executors were, in words; `rows`: which ones fail, in words, and what of
    the application's was never called before them; `endless`: that they are tried again for ever, in words; `outside`: which
    failed outside their task's own body, in words; `logged`: the last exception in the worker's log, likewise.
    """

    late: tuple[str, ...] = ()
    by: str = ""
    frames: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    endless: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    logged: tuple[str, ...] = ()


def of(
    left: Left, requests: Requests | None, expected: Mapping[str, Any], order: ProbeOrder, retried: Collection[int] = (),
    alone: bool = False,
) -> Seen:  # fmt: skip
    """`expected`: the settings that its worker was to have; `retried`: the rows that are tried for ever without Celery;
    `alone`: whether calls raised that ran beside no other."""
    found = told(left.events / contract.SETTINGS)
    late = own_settings.late(expected, found) if isinstance(found, dict) else []
    return Seen(
        late=(*map(visible, late), *too_few(left)),
        by=left.ended.by,
        frames=left.ended.evidence.frames if left.ended.evidence else (),
        busy=tuple(one for name, one in busy_with(left) if name not in order.tasks),
        rows=(
            *by_row(requests, order.mix),
            *at_the_start(left, requests, alone),
            *not_called(left, requests),
            *in_the_main_process(left, requests),
        )
        if requests is not None
        else (),
        endless=tuple(endless(left, requests, retried, order.mix)) if requests is not None else (),
        outside=tuple(failed_outside(left)),
        logged=tuple(logged(left)),
    )


def logged(left: Left) -> list[str]:
    """What is only in the log of a worker that answered, such as what on_success raises with Celery 5.7. A fatal error ends its
    process: in the log of one that goes on it is somebody's words."""
    last = visible(left.ended.log_error)
    told = last and not last.startswith(worker_log.FATAL)
    return [f"its log has an exception that no answer shows, the last one: {last}"] if told else []


def failed_outside(left: Left) -> list[str]:
    """Which requests Celery calls failed, whatever their task answered: `on_success` raised, or the result was not stored."""
    lines = whole_lines(left.events / contract.OUTSIDE)
    if not lines:
        return []
    requests = len({number for number, _ in lines})
    return [
        f"{requests} request{'' if requests == 1 else 's'} failed outside the task's own body (in on_success, or as the result "
        f"was stored), whatever was answered before: {visible(counted(Counter(said for _, said in lines)))}"
    ]


def endless(left: Left, requests: Requests, retried: Collection[int], mix: Mix | None = None) -> list[str]:
    """Of a trial that was cut off: requests that have no answer since their task puts itself off again and again, as it did in
    the serial calls."""
    columns = requests.columns
    those = np.isin(columns["row"], list(retried)) & (columns["received"] < 0)
    if left.ended.by != "limit" or not left.signs.again or not those.any():
        return []
    inside = set(columns["row"][those].tolist())
    names = mix.those(inside, inside) if mix else [f"row {row + 1}" for row in sorted(inside)]
    how = "; ".join(remedy for said, remedy in WITHOUT_END.items() if said in left.signs.again)
    return [f"{those.sum()} of {len(those)} requests have no answer ({few(names)}), for their task {how}"] if how else []


def busy_with(left: Left) -> list[tuple[str, str]]:
    """(name, words) of tasks under other ids that kept its executors from the requests for a good part of the time: other tasks
    of the application, or the requests' own, if they send themselves, or gather requests under an id of their own."""
    ready_s, last_s = left.signs.ready_at_s, left.signs.last_event_s
    if left.cell.is_baseline or ready_s is None or last_s is None or last_s <= ready_s:
        return []
    shares = {
        name: took_s / (left.cell.concurrency * (last_s - ready_s))
        for name, took_s in stamps.others_s(left.events, last_s).items()
    }
    return [
        (
            name,
            f"{visible(name)}, which its requests hand work to, had {100 * share:.0f} % of the executors' time: "
            "give it a queue and a worker of its own",
        )
        for name, share in shares.items()
        if share >= BUSY_SHARE
    ]


def too_few(left: Left) -> list[str]:
    """Whether the kernel saw fewer children than were asked for, whatever the pool says of itself."""
    cell, samples = left.cell, left.machine.watched.samples
    if cell.is_baseline or POOLS[cell.pool].executors != "processes" or left.signs.ready_at_s is None or not samples:
        return []
    most = max(len(sample.pids) - 1 for sample in samples)
    return [f"the kernel saw {most} child processes at the most, {cell.concurrency} were asked for"] * (most < cell.concurrency)


def not_called(left: Left, requests: Requests) -> list[str]:
    """Beside requests that failed: what the application does as a child begins, if this pool has no such beginning."""
    pool, failed = POOLS.get(left.cell.pool), bool(requests.raised.any() or requests.wrong.any())
    if not failed or pool is None:
        return []
    init = "worker_init, which every pool sends (prefork before the fork)"
    sent = (pool.child_signal, contract.CHILD_HANDLERS, "send worker_process_init", init)
    hook = "a loader's on_worker_init, which is called in every pool (in prefork before the fork)"
    called = (pool.executors == "processes", contract.CHILD_LOADER, "call a loader's on_worker_process_init", hook)
    return [
        f"Celery does not {does} in {pool.name}, so {few([visible(str(one)) for one in own], 2)} {NEVER_CALLED}: do that in "
        f"the first task, or in {instead}"
        for has, name, does, instead in (sent, called)
        if not has and isinstance(own := told(left.events / name), list) and own
    ]


def in_the_main_process(left: Left, requests: Requests) -> list[str]:
    """Beside requests that failed, or were never answered: what the application does once its worker is ready, if that is too
    late for processes of its pool."""
    pool, failed = POOLS.get(left.cell.pool), bool(requests.wrong.any()) or not requests.answered.all()
    own = told(left.events / contract.READY_HANDLERS)
    if not failed or pool is None or pool.executors != "processes" or not isinstance(own, list) or not own:
        return []
    return [
        "Celery sends worker_ready in the main process alone, after its children began: "
        f"{few([visible(str(one)) for one in own], 2)} was called there, and not in them. What tasks need goes into the first "
        "task, or into worker_process_init"
    ]


def by_row(requests: Requests, mix: Mix | None = None) -> list[str]:
    """Which rows raise, and which are answered wrongly, if it is always the same ones and never all: '2 of 5 rows'."""
    rows = requests.columns["row"]
    kinds = (("raises", requests.raised), ("is answered wrongly", requests.wrong))
    return [f"{words} {what} each time, and no other" for what, those in kinds if (words := _alone(rows, those, mix))]


def at_the_start(left: Left, requests: Requests, alone: bool = False) -> list[str]:
    executors = POOLS[left.cell.pool].executors if left.cell.pool in POOLS and not alone else ""
    return at_once(executors, requests) or at_first(requests)


def at_once(executors: str, requests: Requests) -> list[str]:
    """Whether those that failed ran beside the first one that was answered right, and none later."""
    begun, ended, right = requests.columns["begin"], requests.columns["received"], requests.right
    failed = (requests.raised | requests.wrong) & (begun >= 0)
    if executors not in BESIDE or not failed.any() or not right.any():
        return []
    loaded_at = ended[right].min()
    loads_from, later = begun[right & (ended == loaded_at)].min(), begun[right] >= loaded_at
    if begun[failed].max() >= loaded_at or ended[failed].max() <= loads_from or later.sum() < LEAST_LATER:
        return []
    return [f"all {failed.sum()} that failed ran beside the first one that was answered, and none later: {BESIDE[executors]}"]


def at_first(requests: Requests) -> list[str]:
    """Whether those that raised were begun before all that were answered: then it is no matter of rows, or of chance."""
    begun = requests.columns["begin"]
    failed, answered = (begun[those & (begun >= 0)] for those in (requests.raised, requests.answered))
    if min(len(failed), len(answered)) < LEAST_AT_FIRST or failed.max() >= answered.min():
        return []
    for_s = (failed.max() - failed.min()) * 1e-9
    return [
        f"all {len(failed)} that raised were begun before any other, for {for_s:.2g} s, and none later: what the task needs is "
        "not there yet when its worker is ready"
    ]


def _alone(rows: npt.NDArray[np.int64], those: npt.NDArray[np.bool_], mix: Mix | None) -> str:
    """'row 5', or 'each of rows 2 and 5', counted from 1; '' unless these rows never went otherwise and others did."""
    inside, outside = set(rows[those].tolist()), set(rows[~those].tolist())
    if not inside or not outside or inside & outside:
        return ""
    names = mix.those(inside, inside | outside) if mix else [str(row + 1) for row in sorted(inside)]
    *first, last = names
    row, of = ("", "each of ") if mix else ("row ", "each of rows ")
    return f"{of}{', '.join(first)} and {last}" if first else f"{row}{last}"
