"""Make the histories anew, from real trials: `python -m tests.record_histories [NAME ...]`. See `tests/replay.py`.

Each scenario is a fault of the selftest's catalogue in a pool, or a real model; its site notes down whatever it answers.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import broker, environments, places
from harness.broker import Broker, Census
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.measure.monitor import Sample
from harness.measure.noise import Reading
from harness.observe.diagnosis import Evidence
from harness.observe.looks import ProcessLook
from harness.proof.selftest.catalogue import CATALOGUE
from harness.proof.selftest.entry import SETTINGS
from harness.records.record import to_line
from harness.run import bundles, conclude
from harness.texts import portable
from harness.trial import outside
from harness.trial.assignment import Assignment
from harness.trial.live_site import LiveSite
from harness.trial.trial import Trial
from tests.replay import ADAPTER, HEADING, HISTORIES, History

ENTRIES = {entry.name: entry for entry in CATALOGUE}
LOOK_EVERY_S = 0.25
OPEN_S = 0.4  # after so long inside a request, a process is looked into
KEPT_LOG = 4000


@dataclass(frozen=True, kw_only=True)
class Scenario:
    cell: Cell
    settings: Mapping[str, Any] = field(default_factory=dict)
    baseline_s: float | None = 0.001
    baseline_first_s: float | None = 0.01


def faulty(name: str, pool: str, **settings: Any) -> Scenario:
    entry = ENTRIES[name]
    return Scenario(cell=entry.cell(pool, "celery"), settings={**entry.settings, **settings})


def control(pool: str, fault: str = "sleep:0.01@0x999", **more: Any) -> Scenario:
    cell = Cell(backend="faulty", environment="celery", pool=pool, concurrency=1 if pool == "solo" else 2, fault=fault)
    return Scenario(cell=replace(cell, **more), settings={"requests": 40})


TF2 = Cell(backend="tensorflow2", pool="prefork", concurrency=2, placement="import-predict", call="predict")
REAL = {"measure_s": 1.0, "limit_s": 60.0, "ready_limit_s": 120.0}

SCENARIOS: dict[str, Scenario] = {
    **{f"ok-{pool}": control(pool) for pool in ("prefork", "threads", "gevent", "solo")},
    "ok-baseline": Scenario(
        cell=Cell(backend="null", pool="prefork", environment="celery").baseline(),
        settings={"requests": 30, "measure_s": 0.02},
    ),
    "ok-duplicates-prefork": faulty("duplicate-reply", "prefork"),
    "ok-lock-wait-threads": faulty("lock-wait", "threads"),
    "ok-spin-prefork": faulty("spin", "prefork"),
    "ok-open-prefork": control("prefork", traffic="constant-40"),
    **{f"hung-deadlock-{pool}": faulty("deadlock", pool) for pool in ("prefork", "threads", "gevent", "solo")},
    "hung-one-of-four-prefork": faulty("deadlock-of-one", "prefork"),
    "hung-one-of-four-threads": faulty("deadlock-of-one", "threads"),
    "hung-fork-lock-prefork": faulty("fork-lock", "prefork"),
    "hung-gil-held-threads": faulty("gil-held", "threads"),
    "hung-hub-blocked-gevent": faulty("hub-blocked", "gevent"),
    "hung-native-spin-threads": faulty("native-spin", "threads"),
    "hung-load-prefork": faulty("load-deadlock", "prefork"),
    "hung-lost-reply-threads": faulty("lost-reply", "threads"),
    "hung-stopped-prefork": faulty("stopped", "prefork"),
    "hung-tensorflow2-prefork": Scenario(cell=TF2, settings=REAL, baseline_s=0.05, baseline_first_s=0.5),
    "ok-tensorflow2-threads": Scenario(
        cell=replace(TF2, pool="threads", placement="first-task", call="direct"),
        settings=REAL,
        baseline_s=0.05,
        baseline_first_s=0.5,
    ),
    "crashed-signal-11-prefork": faulty("signal-11", "prefork"),
    "crashed-signal-9-threads": faulty("signal-9", "threads"),
    "crashed-exit-3-solo": faulty("exit-3", "solo"),
    "respawning-prefork": faulty("respawn-loop", "prefork"),
    "wrong-prefork": faulty("wrong", "prefork"),
    "wrong-crossed-threads": faulty("crossed", "threads"),
    "errors-20-percent-gevent": faulty("error-20-percent", "gevent"),
    "errors-load-prefork": faulty("load-error", "prefork"),
    "refused-import-error-prefork": faulty("load-error-at-import", "prefork"),
    "refused-exit-solo": faulty("load-exit-at-import", "solo"),
    "refused-not-ready-threads": faulty("load-sleep-at-import", "threads"),
    "slow-threads": faulty("slow-steady", "threads", limit_s=8.0),
    "waiting-cut-prefork": faulty("network-cut", "prefork"),
    "invalid-broker-killed-prefork": faulty("broker-killed", "prefork"),
    "invalid-broker-restarted-threads": faulty("broker-restarted", "threads"),
    "invalid-disk-full-threads": faulty("disk-full", "threads"),
}


class NotingSite(LiveSite):
    """A real site that notes what it answers, and looks closely more often than the watcher asks it to."""

    def __init__(self, work: Assignment) -> None:
        super().__init__(work)
        self.told: dict[str, list[Any]] = {
            name: [] for name in ("client_states", "samples", "noise", "depths", "censuses", "pids", "looks")
        }
        self.steps: list[float] = []
        self.codes: dict[str, float | int | None] = {}
        self.end: dict[str, Any] = {}
        self._looked_s = 0.0

    def _note(self, name: str, answer: Any) -> Any:
        self.told[name].append((self.now(), answer))
        return answer

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        now = self.now()
        self.steps.append(now)
        old = frozenset(stage.pid for stage in self.progress.open.values() if now - stage.since_s > OPEN_S)
        if self.progress.ready_at_s and now - self._looked_s > LOOK_EVERY_S and (old or self.progress.quiet_s(now) > OPEN_S):
            self._looked_s = now
            self.look(closely=old or self.pids())

    def _code(self, name: str, code: int | None) -> int | None:
        if code is not None and name not in self.codes:
            self.codes |= {name: code, f"{name}_s": self.now()}
        return code

    def worker_code(self) -> int | None:
        return self._code("worker", super().worker_code())

    def client_code(self) -> int | None:
        return self._code("client" if self.client is not None else "worker", super().client_code())

    def broker_ended(self) -> bool:
        ended = super().broker_ended()
        self._code("broker", 1 if ended else None)
        return ended

    def client_state(self) -> str:
        return str(self._note("client_states", super().client_state()))

    def census(self) -> Census:
        found: Census = self._note("censuses", super().census())
        return found

    def depth(self) -> tuple[int, int] | None:
        found: tuple[int, int] | None = self._note("depths", super().depth())
        return found

    def sample(self, phase: str, *, edge: bool = False) -> Sample:
        found: Sample = self._note("samples", super().sample(phase, edge=edge))
        return found

    def noise(self) -> Reading:
        found: Reading = self._note("noise", super().noise())
        return found

    def pids(self) -> frozenset[int]:
        found: frozenset[int] = self._note("pids", super().pids())
        return found

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        found: tuple[ProcessLook, ...] = self._note("looks", super().look(closely=closely))
        return found

    def evidence(self, pids: tuple[int, ...]) -> Evidence:
        self.end["evidence"] = super().evidence(pids)
        found: Evidence = self.end["evidence"]
        return found

    def oom_kills(self) -> int:
        self.end["oom_kills"] = super().oom_kills()
        return int(self.end["oom_kills"])

    def close(self, ended_by: str) -> Sample | None:
        self.end["log"] = self.log_tail()
        self.end["last"] = super().close(ended_by)
        self.end["kernel_cpu_s"] = self.kernel_cpu_s()
        last: Sample | None = self.end["last"]
        return last


def record(name: str, scenario: Scenario, server: Broker, folder: Path) -> None:
    """Run the trial, and store its history."""
    cell, settings = scenario.cell, Settings(**{**SETTINGS, **scenario.settings})
    environment = environments.prepare(cell.venv)
    bundle = bundles.write_bundles([cell.workload], places.home() / "bundles")[cell.workload]
    work_folder = (folder / "trial").resolve()
    work_folder.mkdir(parents=True)
    made: list[NotingSite] = []

    def site(work: Assignment) -> NotingSite:
        made.append(NotingSite(work))
        return made[0]

    with outside.around(cell.fault, server, work_folder) as given:
        work = Assignment(
            cell=cell, trial=1, environment=environment, bundle=bundle.folder, rows=bundle.rows, settings=settings,
            folder=work_folder, evidence=folder / "evidence" / "one", baseline_s=scenario.baseline_s,
            baseline_first_s=scenario.baseline_first_s, **given,
        )  # fmt: skip
        left = Trial(work, site).run()
        became = conclude.record_of(left, HEADING, conclude.compared(left, bundle), folder, seconds=1.0)
        noted, end = made[0], made[0].end
        history = History(
            cell=cell.as_dict(), settings=settings, dtype=bundle.dtype, baseline_s=scenario.baseline_s,
            baseline_first_s=scenario.baseline_first_s, started_s=noted.started_s, main=noted.main, steps=tuple(noted.steps),
            codes=noted.codes, client=noted.client is not None, watched=noted.watched(), kernel_cpu_s=end["kernel_cpu_s"],
            last=end["last"], oom_kills=end.get("oom_kills", 0), oom_counted=noted.oom_counted(),
            evidence=end.get("evidence"), log=end["log"][-KEPT_LOG:],
            struck=None if work.outside is None else work.outside.struck,
            **{key: tuple(value) for key, value in noted.told.items()},
        )  # fmt: skip
        store(name, history, work_folder, bundle.reference, to_line(became))
    print(f"{name}: {became.outcome}, {became.ended.cause or '-'}: {became.reason}", flush=True)


def store(name: str, history: History, work_folder: Path, reference: np.ndarray[Any, Any], record_line: str) -> None:
    HISTORIES.mkdir(exist_ok=True)
    np.savez_compressed(HISTORIES / f"{history.cell['workload']}.npz", reference=reference)
    (work_folder / "record.jsonl").write_text(record_line)
    (work_folder / "history.json").write_text(portable(ADAPTER.dump_json(history).decode()))
    (work_folder / "worker.log").write_text(portable(history.log))
    kept: Sequence[str] = ("requests.npz", "sending.json", "record.jsonl", "history.json", "worker.log")
    events = [path for path in (work_folder / "events").iterdir() if path.suffix in (".events", ".stamps", ".txt")]
    with zipfile.ZipFile(HISTORIES / f"{name}.zip", "w", zipfile.ZIP_LZMA) as file:
        for path in [*(work_folder / each for each in kept), *sorted(events)]:
            if path.is_file() and not path.name.startswith("stacks"):
                file.write(path, path.relative_to(work_folder))


def main(names: Sequence[str]) -> None:
    for name in names or list(SCENARIOS):
        with tempfile.TemporaryDirectory() as folder, broker.embedded(Path(folder) / "broker") as server:
            record(name, SCENARIOS[name], server, Path(folder))
            time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1:])
