"""The whole self-test on one screen: from the catalogue to the matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import environments
from harness.errors import Interrupted, NothingMatches
from harness.proof.selftest import jobs, report
from harness.proof.selftest.catalogue import cases
from harness.proof.selftest.entry import Case
from harness.proof.selftest.judgement import Judged
from harness.records.record import TrialRecord
from harness.run import bundles, opening
from harness.run.interrupt import GO_ON, STOPPED


@dataclass(frozen=True, kw_only=True)
class SelftestOrder:
    """What the user asked for; no pools or faults mean all."""

    times: int
    jobs: int
    environment: str
    folder: Path
    pools: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    fresh: bool = False


def run(order: SelftestOrder, say: Callable[[str], None], tick: Callable[[int, int, float], None]) -> list[Judged]:
    """Inject everything and judge it; what is on record from an earlier self-test is not run again.

    Raises Interrupted after a Ctrl-C, with what was measured written down.
    """
    if order.environment not in environments.descriptions():
        raise NothingMatches(f"no environment {order.environment!r}", remedy=f"use {', '.join(environments.descriptions())}")
    chosen = cases(order.environment, order.pools, order.faults)
    with opening.opened(order.folder, "self-test", say, fresh=order.fresh) as opened:
        folder = opened.folder
        folder.trials_path.touch()
        folder.write_header()
        environment = environments.prepare(order.environment, say)
        bundles.write_bundles(sorted({case.cell.workload for case in chosen}), bundles.home())
        parts = jobs.split(chosen, order.times, order.jobs)
        todo = jobs.tasks(parts, order.folder, environment.fingerprint)
        say(f"{sum(part.trials for part in parts)} trials in {len(parts)} parts, {order.jobs} at a time")
        complete = not opened.stopped.is_set() and jobs.Jobs(todo, jobs=order.jobs, say=say, tick=tick).run()
        records = [record for task in todo for record in task.records()]
        folder.rewrite(records)
        judged = judge(chosen, order.times, records, complete=complete)
        report.write(folder, chosen, judged, environment=order.environment, times=order.times)
    if not complete:
        raise Interrupted(STOPPED, remedy=GO_ON)
    return judged


def judge(chosen: Sequence[Case], times: int, records: Sequence[TrialRecord], *, complete: bool) -> list[Judged]:
    """Every trial of every case that can exist, with its record; those without one only if all should have one."""
    known = {(record.cell_id, record.trial): record for record in records}
    wanted = [(case, trial) for case in chosen if not case.skip for trial in range(1, times + 1)]
    found = [Judged(case=case, trial=trial, record=known.get((case.cell.id, trial))) for case, trial in wanted]
    return [one for one in found if complete or one.record is not None]
