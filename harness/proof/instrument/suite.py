"""Runs tests of the instrument one after the other, and keeps what they found.

`findings.csv` and `findings.md` in the folder are replaced after each test, so that a run which is stopped keeps what was
found; `run.json` tells the machine. Nothing here runs beside anything else: each test measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from harness import environments
from harness.environments import Environment
from harness.errors import BadInput, HarnessError, Interrupted
from harness.machine import identity
from harness.proof.instrument.finding import Finding
from harness.records import store
from harness.trial import supervisor

ENVIRONMENT = "celery"  # whose workers, with the null control, stand for all: no backend is needed to test the instrument


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a test may work, whose workers it may start, and the seed of this round."""

    folder: Path
    environment: Environment
    seed: int


@dataclass(frozen=True, kw_only=True)
class InstrumentCheck:
    """One check: `name` as it is chosen on the command line, and what makes its findings. `long`: only where it is named."""

    name: str
    title: str
    find: Callable[[Bench], list[Finding]]
    long: bool = False


@dataclass(frozen=True, kw_only=True)
class Found:
    """A finding of one test in one round."""

    round: int
    test: InstrumentCheck
    finding: Finding


def chosen(tests: Sequence[InstrumentCheck], names: Sequence[str]) -> list[InstrumentCheck]:
    """The tests of these names; where none is named, all but the long ones. Raises BadInput."""
    known = {test.name: test for test in tests}
    for name in names:
        if name not in known:
            raise BadInput(f"there is no test {name}", remedy=f"choose from {', '.join(known)}")
    return [test for test in tests if test.name in names or not (names or test.long)]


def run(tests: Sequence[InstrumentCheck], folder: Path, times: int, say: Callable[[str], None]) -> Iterator[Found]:
    """Run the tests `times` times over, each round with its own seed; every finding as soon as it is there."""
    store.check_space(folder)
    home, known = folder.resolve(), list[Found]()  # whole: a worker is started elsewhere
    with store.room(folder), store.RunFolder(folder).opened(fresh=True) as kept:
        if kept.moved_to:
            say(f"the earlier findings were moved to {kept.moved_to}")
        environment = environments.prepare(ENVIRONMENT, say)
        started = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"
        kept.write_json("run.json", {"machine": identity.facts(), "started": started, "times": times})
        for number in range(1, times + 1):
            for test in tests:
                scratch = supervisor.fresh_folder(home / "scratch" / f"{test.name}-{number}")
                fresh = _looked(test, Bench(folder=scratch, environment=environment, seed=number), home)
                found = [Found(round=number, test=test, finding=finding) for finding in fresh]
                known += found
                kept.replace("findings.csv", table(known).to_csv(index=False))
                kept.replace("findings.md", page(known))
                yield from found


def _looked(test: InstrumentCheck, bench: Bench, home: Path) -> list[Finding]:
    """What the test found; where it could not be carried out, that is a finding which did not pass. `home`: of the run."""
    try:
        return test.find(bench)
    except Interrupted as error:
        raise Interrupted(
            "stopped on request; the findings so far are kept", remedy="the same command begins anew, and moves these aside"
        ) from error
    except HarnessError as error:
        place = error.evidence.replace(f"{home}/", "")
        note = f"{error}{f' ({place})' if place else ''}"
        return [Finding(name=test.title, figure=None, bound="", passed=False, note=note)]


def table(found: Sequence[Found]) -> pd.DataFrame:
    """A row a finding."""
    rows = [{"round": one.round, "test": one.test.name, **asdict(one.finding)} for one in found]
    return pd.DataFrame(rows, columns=["round", "test", "name", "figure", "bound", "passed", "note"])


def page(found: Sequence[Found]) -> str:
    """Markdown: a row a figure, over all rounds."""
    lines = ["| test | what | figures, round by round | bound | passed |", "| --- | --- | --- | --- | --- |"]
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for one in found:
        grouped.setdefault((one.test.name, one.finding.name), []).append(one.finding)
    for (test, name), findings in grouped.items():
        figures = ", ".join("none" if one.figure is None else f"{one.figure:.4g}" for one in findings)
        passed = f"{sum(one.passed for one in findings)} of {len(findings)}"
        bounds = "; ".join(dict.fromkeys(one.bound for one in findings))
        lines.append(f"| {test} | {name} | {figures} | {bounds} | {passed} |")
    return "\n".join(lines) + "\n"
