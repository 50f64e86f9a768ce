"""Trials made by hand, for what no real trial shows on demand: a history and its events, second by second.

Seconds count from the trial's start. The worker is one process (MAIN) that serves in threads, the load generator is CLIENT.
Nothing moves but what the events say: threads are as IDLE shows them for as long as nobody gives other looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.broker import Census
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.machine.procfs import Thread
from harness.measure.monitor import Sample, Watched
from harness.observe.looks import ProcessLook
from harness.records.record import TrialRecord
from harness.worker import contract
from harness.worker.contract import Event
from tests import handmade
from tests.replay import History, Stored, StoredSite

T0 = 100.0
STEP_S = 0.100001  # a sleep takes a little longer than it was asked to
MAIN, CHILD, OTHER, CLIENT = 10, 11, 12, 50
CELL = Cell(backend="null", environment="celery", pool="threads", concurrency=1)
SETTINGS = Settings(measure_s=1.0, requests=5, limit_s=20.0, ready_limit_s=5.0)
LOOP = Thread(
    tid=MAIN, name="python", state="S", cpu_s=1.0, switches=7, waits_in="epoll", timed=False, private=False,
    wait_channel="ep_poll",
)  # fmt: skip
STUCK = replace(LOOP, tid=20, waits_in="futex", private=True, wait_channel="futex")
IDLE = ProcessLook(pid=MAIN, cpu_s=1.0, children=(), threads=(LOOP,))
BLOCKED = replace(IDLE, threads=(LOOP, STUCK), python_tids=frozenset({STUCK.tid}), own_tids=frozenset({MAIN}))
EXPECTED: TrialRecord = handmade.record(cell_id=CELL.id, outcome="ok")


def event(at_s: float, kind: int, number: int = -1, *, pid: int = MAIN, tid: int | None = None) -> Event:
    return Event(kind=kind, tid=pid if tid is None else tid, number=number, at_ns=round((T0 + at_s) * 1e9), pid=pid)


def phase(at_s: float, name: str) -> Event:
    return event(at_s, contract.PHASE, contract.PHASES.index(name), pid=CLIENT)


def request(number: int, at_s: float, *, upto: str = "received", took_s: float = 0.05, pid: int = MAIN) -> list[Event]:
    """A request's signs of life, as far as it came: 'published', 'begun', 'ended' or 'received'."""
    whole = {
        "published": event(at_s, contract.PUBLISHED, number, pid=CLIENT),
        "begun": event(at_s + 0.001, contract.TASK_BEGIN, number, pid=pid, tid=STUCK.tid if pid == MAIN else pid),
        "ended": event(at_s + took_s, contract.TASK_END, number, pid=pid, tid=STUCK.tid if pid == MAIN else pid),
        "received": event(at_s + took_s + 0.001, contract.RECEIVED, number, pid=CLIENT),
    }
    return list(whole.values())[: list(whole).index(upto) + 1]


def serving(*more: Event | Sequence[Event], ready_s: float = 1.0) -> list[Event]:
    """The worker becomes ready and answers one request; then whatever more there is."""
    first = [event(ready_s, contract.READY), phase(ready_s + 0.05, "first"), *request(0, ready_s + 0.1)]
    return [*first, *(one for each in more for one in ([each] if isinstance(each, Event) else each))]


def sample(at_s: float, *, pids: tuple[int, ...] = (MAIN,), of_phase: str = "") -> Sample:
    """Two busy tenths of a second per second in the worker, one in its children, one in the client."""
    cpu_s = {"worker": 0.2 * at_s, "children": 0.1 * at_s, "broker": 0.0, "client": 0.1 * at_s}
    return Sample(
        at_s=T0 + at_s, phase=of_phase, cpu_s=cpu_s, cores_busy_s=(at_s, 0.5 * at_s), steal_s=0.0, pids=pids,
        threads=dict.fromkeys(pids, 3),
    )  # fmt: skip


def samples(*, until_s: float = 30.0, born: Iterable[tuple[float, tuple[int, ...]]] = ()) -> tuple[tuple[float, Sample], ...]:
    """One each tenth of a second; `born`: from when on there are which processes."""
    pids, found = (MAIN,), []
    changes = sorted(born)
    for tenth in range(int(until_s * 10)):
        while changes and changes[0][0] * 10 <= tenth:
            pids = changes.pop(0)[1]
        found.append((T0 + tenth / 10, sample(tenth / 10, pids=pids)))
    return tuple(found)


SAMPLES = samples()
STEPS = tuple(T0 + STEP_S * number for number in range(700))


def scene(folder: Path, *events: Event | Sequence[Event], **changes: Any) -> Stored:
    """A trial in which these events were written."""
    flat = [one for each in events for one in ([each] if isinstance(each, Event) else each)]
    place = folder / "events"
    place.mkdir(parents=True, exist_ok=True)
    for pid in {one.pid for one in flat}:
        own = [contract.pack(one.kind, one.tid, one.number, one.at_ns) for one in flat if one.pid == pid]
        (place / contract.FILE_NAME.format(pid=pid)).write_bytes(b"".join(own))
    usual = {
        "cell": CELL.as_dict(), "settings": SETTINGS, "dtype": "float32", "baseline_s": 0.01, "baseline_first_s": 0.1,
        "started_s": T0, "main": MAIN, "steps": STEPS, "samples": SAMPLES, "looks": ((T0, (IDLE,)),),
        "watched": Watched(worker=MAIN), "pids": ((T0, frozenset({MAIN})),),
    }  # fmt: skip
    return Stored(history=History(**{**usual, **changes}), folder=folder, expected=EXPECTED)


class NotedSite(StoredSite):
    """Notes whatever it was asked, and when (seconds from the trial's start)."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.noted: list[tuple[str, float, Any]] = []

    def _note(self, what: str, detail: Any = None) -> None:
        self.noted.append((what, self.clock_s - T0, detail))

    def times(self, what: str) -> list[float]:
        return [at_s for name, at_s, _ in self.noted if name == what]

    def details(self, what: str) -> list[Any]:
        return [detail for name, _, detail in self.noted if name == what]

    @property
    def ended_s(self) -> float:
        """When it was closed."""
        return self.times("close")[-1]

    def sample(self, phase: str, *, edge: bool = False) -> Sample:
        self._note("sample", (phase, edge))
        return super().sample(phase, edge=edge)

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        self._note("look", closely)
        return super().look(closely=closely)

    def settled(self, processes: Sequence[ProcessLook]) -> None:
        self._note("settled", tuple(processes))
        super().settled(processes)

    def go(self) -> None:
        self._note("go")
        super().go()

    def depth(self) -> tuple[int, int] | None:
        self._note("depth")
        return super().depth()

    def census(self) -> Census:
        self._note("census")
        return super().census()

    def close(self, ended_by: str) -> Sample | None:
        self._note("close", ended_by)
        return super().close(ended_by)
