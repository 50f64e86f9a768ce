"""All attached trials, side by side, each with a broker of its own; and what they are worth."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from harness import environments
from harness.errors import Interrupted
from harness.live.executor import State
from harness.proof.attached import expected, trial
from harness.proof.attached.trial import Attached
from harness.proof.selftest.catalogue import cases
from harness.proof.selftest.entry import Case
from harness.proof.selftest.judgement import Threshold
from harness.proof.selftest.workflow import SelftestOrder
from harness.run import bundles, opening
from harness.run.interrupt import GO_ON, STOPPED
from harness.trial.outside import PREFIX

RECORDS = "attached.jsonl"
PROVED_LIMIT, MEDIAN_S, MAXIMUM_S = 0.05, 3.0, 10.0
Key = tuple[str, str, int]


@dataclass(frozen=True, kw_only=True)
class Told:
    """One trial, and what is wrong with what was said of it; '' if nothing is."""

    case: Case
    found: Attached
    wrong: str

    @property
    def promised(self) -> bool:
        return expected.of(self.case).promised


def chosen(order: SelftestOrder) -> list[Case]:
    """The catalogue's cases that can exist in a plain worker: those done from outside need a trial, but for the stop."""
    found = [case for case in cases(order.environment, order.pools, order.faults) if not case.skip]
    return [case for case in found if not case.entry.fault.startswith(PREFIX) or case.entry.fault == "outside-stop"]


def run(order: SelftestOrder, say: Callable[[str], None], tick: Callable[[int, int], None], *, deep: bool) -> list[Told]:
    """Run what is not on record. Raises Interrupted after a Ctrl-C, with what was asked written down."""
    todo = [(case, number) for number in range(1, order.times + 1) for case in chosen(order)]
    with opening.opened(order.folder, "self-test", say, fresh=order.fresh) as opened:
        path = order.folder / RECORDS
        known = {_key(one): one for one in read(path)}
        environment = environments.prepare(order.environment, say)
        made = bundles.write_bundles(sorted({case.cell.workload for case, _ in todo}), bundles.home())

        def one(case: Case, number: int) -> Attached:
            folder = order.folder / "scratch" / f"{case.entry.name}-{case.pool}-{number}"
            return trial.run(
                case, number, environment=environment, bundle=made[case.cell.workload].folder, folder=folder, deep=deep
            )

        missing = [(case, number) for case, number in todo if (case.entry.name, case.pool, number) not in known]
        with ThreadPoolExecutor(order.jobs) as executor, path.open("a") as file:
            running: set[Future[Attached]] = set()
            while running or missing:
                while missing and len(running) < order.jobs and not opened.stopped.is_set():
                    running.add(executor.submit(one, *missing.pop(0)))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    found = future.result()
                    known[_key(found)] = found
                    file.write(json.dumps(found.as_dict()) + "\n")
                    file.flush()
                tick(len(known), len(todo))
    if missing:
        raise Interrupted(STOPPED, remedy=GO_ON)
    told = [(case, known[case.entry.name, case.pool, number]) for case, number in todo]
    return [Told(case=case, found=found, wrong=trial.faults(found, case)) for case, found in told]


def read(path: Path) -> list[Attached]:
    """What is on record."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [Attached(**{**values, "support": tuple(values["support"])}) for values in found]


def _key(one: Attached) -> Key:
    return one.fault, one.pool, one.trial


def thresholds(told: Sequence[Told]) -> list[Threshold]:
    """What is promised of `why`."""
    promised = [one for one in told if one.promised]
    seconds = [one.found.seconds for one in told if one.found.seconds is not None]
    false = sum(one.found.state == State.STUCK.value and not one.case.entry.hangs_in(one.case.pool) for one in told)
    return [
        Threshold(text="called stuck though it is not", figure=false, limit=0),
        Threshold(
            text="promised proofs that were not given, or with another cause",
            figure=sum(bool(one.wrong) for one in promised) / len(promised) if promised else None, limit=PROVED_LIMIT,
        ),
        Threshold(text="otherwise wrong", figure=sum(bool(one.wrong) and not one.promised for one in told) - false, limit=0),
        Threshold(
            text="from the command to the answer, median", figure=statistics.median(seconds) if seconds else None,
            limit=MEDIAN_S, unit="s", of_time=True,
        ),
        Threshold(
            text="from the command to the answer, maximum", figure=max(seconds, default=None), limit=MAXIMUM_S, unit="s",
            of_time=True,
        ),
    ]  # fmt: skip
