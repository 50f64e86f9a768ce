"""A trial written by hand, for what no real one shows on demand: what its processes wrote, and when, and what a look showed.

Moments are seconds from the trial's start. It is watched as a stored one is (`tests.replay`), by a clock that jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.machine.procfs import Thread
from harness.measure.monitor import Sample, Watched
from harness.observe.diagnosis import Evidence
from harness.observe.looks import ProcessLook
from harness.observe.roles import Role
from harness.trial.left import Left
from harness.worker import contract
from tests import handmade, replay
from tests.replay import History, Stored, StoredSite

START_S = 1000.0
MAIN, CHILD, OTHER, CLIENT = 100, 101, 102, 900
CELL = Cell(backend="null", environment="celery", pool="prefork")
SETTINGS = Settings(limit_s=40.0, ready_limit_s=60.0, confirm_s=0.0)
EVERY_S = 0.1
Wrote = tuple[float, int, int, int]  # moment, kind of event, number, pid


def ready(at_s: float = 0.5) -> Wrote:
    return at_s, contract.READY, -1, MAIN


def child(at_s: float, pid: int = CHILD) -> Wrote:
    return at_s, contract.CHILD_INIT, -1, pid


def phase(at_s: float, name: str) -> Wrote:
    return at_s, contract.PHASE, contract.PHASES.index(name), CLIENT


def published(at_s: float, number: int) -> Wrote:
    return at_s, contract.PUBLISHED, number, CLIENT


def received(at_s: float, number: int) -> Wrote:
    return at_s, contract.RECEIVED, number, CLIENT


def begun(at_s: float, number: int, pid: int = CHILD) -> Wrote:
    return at_s, contract.TASK_BEGIN, number, pid


def ended(at_s: float, number: int, pid: int = CHILD) -> Wrote:
    return at_s, contract.TASK_END, number, pid


def answered(numbers: Iterable[int], from_s: float, each_s: float = 0.02, pid: int = CHILD) -> list[Wrote]:
    """Requests one after the other, each sent, begun, ended and answered."""
    return [wrote for place, number in enumerate(numbers) for wrote in _one(number, from_s + place * each_s, each_s, pid)]


def _one(number: int, at_s: float, took_s: float, pid: int) -> tuple[Wrote, ...]:
    return (
        published(at_s, number),
        begun(at_s + 0.1 * took_s, number, pid),
        ended(at_s + 0.7 * took_s, number, pid),
        received(at_s + 0.8 * took_s, number),
    )


#: Nothing more comes: three requests are sent as the measured phase begins, and nobody takes them.
STANDS = [ready(), child(0.5), phase(0.6, "measure"), *(published(0.6, number) for number in range(3))]
#: One request was served, and its answer never came.
NO_ANSWER = [ready(), child(0.5), phase(0.6, "measure"), published(0.6, 0), begun(0.61, 0), ended(0.62, 0)]
#: One request was begun, and never ended.
NEVER_ENDS = [ready(), child(0.5), *answered(range(4), 0.6), phase(0.7, "measure"), published(0.8, 4), begun(0.81, 4)]


def thread(tid: int, waits_in: str = "futex") -> Thread:
    return Thread(
        tid=tid, name="python", state="S", cpu_s=1.0, switches=7, waits_in=waits_in, timed=False, private=True,
        wait_channel=waits_in,
    )  # fmt: skip


def process(pid: int, *waits_in: str, **more: Any) -> ProcessLook:
    """A process whose threads wait in these."""
    threads = tuple(thread(pid + 1000 * place, one) for place, one in enumerate(waits_in))
    return ProcessLook(pid=pid, cpu_s=1.0, children=(), threads=threads, python_tids=frozenset({pid}), **more)


IDLE = (process(MAIN, "epoll", role=Role.MAIN), process(CHILD, "futex", role=Role.IDLE))


def sample(at_s: float, pids: Sequence[int] = (MAIN, CHILD), name: str = "") -> Sample:
    """A tenth of a core for the worker, three for its child."""
    return Sample(
        at_s=START_S + at_s, phase=name, steal_s=0.0, pids=tuple(pids), threads=dict.fromkeys(pids, 3),
        cpu_s={"worker": 0.1 * at_s, "children": 0.3 * at_s, "broker": 0.05 * at_s, "client": 0.02 * at_s},
        cores_busy_s=(0.5 * at_s, 0.25 * at_s),
    )  # fmt: skip


def trial(
    folder: Path,
    wrote: Iterable[Wrote],
    *,
    until_s: float = 70.0,
    pids: Callable[[float], Sequence[int]] = lambda at_s: (MAIN, CHILD),
    looks: Sequence[tuple[float, tuple[ProcessLook, ...]]] = ((0.0, IDLE),),
    codes: Mapping[str, float | int | None] | None = None,
    cell: Cell = CELL,
    settings: Settings = SETTINGS,
    **more: Any,
) -> Stored:
    """What such a trial would have stored. `pids`: of the worker's tree, at a moment."""
    write(folder / "events", wrote)
    (folder / "worker.log").write_text("all is well\n")
    steps = tuple(START_S + EVERY_S * step for step in range(1, int(until_s / EVERY_S)))
    at = {
        name: value + START_S if name.endswith("_s") and value is not None else value for name, value in (codes or {}).items()
    }
    history = History(
        cell=cell.as_dict(), settings=settings, dtype="float32", baseline_s=0.001, baseline_first_s=0.01, started_s=START_S,
        main=MAIN, steps=steps, codes=at, watched=Watched(worker=MAIN),
        samples=tuple((one, sample(one - START_S, pids(one - START_S))) for one in steps),
        looks=tuple((START_S + moment, one) for moment, one in looks), **more,
    )  # fmt: skip
    return Stored(history=history, folder=folder, expected=handmade.record(cell_id=cell.id, outcome="ok"))


def write(folder: Path, wrote: Iterable[Wrote]) -> None:
    """The event files, one a process."""
    folder.mkdir(parents=True, exist_ok=True)
    by_pid: dict[int, bytes] = {}
    for at_s, kind, number, pid in wrote:
        moment_ns = round((START_S + at_s) * 1e9)
        by_pid[pid] = by_pid.get(pid, b"") + contract.pack(kind, pid, number, moment_ns)
    for pid, data in by_pid.items():
        (folder / contract.FILE_NAME.format(pid=pid)).write_bytes(data)


class Listening(StoredSite):
    """A stored site that notes what it is asked, with the moment from the start."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.heard: list[tuple[float, str, Any]] = []

    def _hear(self, what: str, detail: Any = None) -> None:
        self.heard.append((round(self.clock_s - self.started_s, 6), what, detail))

    def of(self, what: str) -> list[Any]:
        return [detail for _, name, detail in self.heard if name == what]

    def when(self, what: str) -> list[float]:
        return [at_s for at_s, name, _ in self.heard if name == what]

    def sample(self, phase: str, *, edge: bool = False) -> Sample:
        self._hear("sample", (phase, edge))
        return super().sample(phase, edge=edge)

    def depth(self) -> tuple[int, int] | None:
        self._hear("depth")
        return super().depth()

    def pids(self) -> frozenset[int]:
        self._hear("pids")
        return super().pids()

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        self._hear("look", closely)
        return super().look(closely=closely)

    def settled(self, processes: Sequence[ProcessLook]) -> None:
        self._hear("settled", tuple(processes))
        super().settled(processes)

    def evidence(self, pids: tuple[int, ...]) -> Evidence:
        self._hear("evidence", pids)
        return super().evidence(pids)


def ends(one: Stored, **changes: Any) -> tuple[Left, float]:
    """What is left, and when the last look was, in seconds from the start."""
    times: list[float] = []

    class Timed(StoredSite):
        def close(self, ended_by: str) -> Sample | None:
            times.append(self.clock_s - self.started_s)
            return super().close(ended_by)

    left, _ = replay.watched(one, Timed, **changes)
    return left, round(times[0] - EVERY_S, 3)  # the watcher sleeps once more


def cut(**limits: float) -> Settings:
    return SETTINGS.model_copy(update=limits)
