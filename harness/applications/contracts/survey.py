"""What each pool does with a task of somebody's own application while it is limited, revoked, shut down or killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import broker
from harness.applications.contracts import measures
from harness.applications.contracts.measures import OwnContract
from harness.applications.contracts.stand import OwnStand
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.source import ApplicationSource
from harness.applications.tune.application import OfApplication
from harness.errors import BadInput, NothingMatches
from harness.experiment.matrix import OWN_APP, Cell
from harness.records.outcomes import ANSWERED, Outcome
from harness.records.store import RunFolder, now
from harness.run import opening, workflow
from harness.run.opening import Opened
from harness.studies.contracts import lanes, rows
from harness.studies.contracts.measures import ContractAnswer
from harness.studies.contracts.rows import NOT_APPLICABLE, Row
from harness.studies.contracts.survey import STOPPING, selected, shown_again
from harness.trial import supervisor

OF, BEFORE = "contracts-of.json", "contracts-before.csv"
PREFACE = """\
Made by `harness contracts --app`: every word was seen with a real worker of your application with one executor. A burst of
requests, some seconds of work, was sent to each; what was done met one of them, and the fates of all were counted. A call
takes {usual} s without Celery. **Bold** is not what one would hope for; the notes say what was seen."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row to be."""

    cell: Cell
    contract: OwnContract

    @property
    def key(self) -> tuple[str, str, str]:
        return OWN_APP, self.cell.pool, self.contract.id

    @property
    def id(self) -> str:
        return f"{self.cell.pool}-{self.contract.id}"


def survey(order: ProbeOrder, cells: Sequence[Cell], select: Sequence[str], screen: workflow.Screen,
           measured: Callable[[Row], None]) -> dict[tuple[str, str, str], Row]:  # fmt: skip
    """Ask the application, call it without Celery, and measure what is not on record; all rows of the folder. `measured` is
    told of each answer that is asked for, of those on record first. Raises BadInput, NothingMatches, HarnessError, Interrupted.
    """
    chosen = [one for one in measures.CONTRACTS.values() if selected([one.id], select)]
    if not chosen:
        raise NothingMatches(
            f"no contract matches {' or '.join(map(repr, select))}", remedy=f"contracts are {', '.join(measures.CONTRACTS)}"
        )
    ask = OfApplication(order=order, on_valkey=True)
    possible = ask.possible(cells, screen)
    source = ask.known[-1]
    told = pace(order.out)
    with opening.opened(order.out, "survey", screen.say, sight=False, stopping=STOPPING) as opened:
        known = on_record(opened.folder, source.planned()[0].key, screen.say)
        wanted = [Task(cell=cell, contract=one) for cell in possible for one in chosen]
        kept = rows.kept((task.key for task in wanted), known)
        todo = [task for task in wanted if task.key not in kept]
        shown_again(kept.values(), len(wanted), screen.say, measured)
        try:
            with broker.embedded(opened.scratch / "broker") as server:
                for task in todo:
                    if opened.stopped.is_set():
                        break
                    row = _row(task, source, opened, server.url, told)
                    rows.append(order.out, row)
                    known[row.key] = row
                    measured(row)
        finally:
            _write(opened, known, told.usual_s)
    return known


def on_record(folder: RunFolder, key: str, say: Callable[[str], None]) -> dict[tuple[str, str, str], Row]:
    """The answers of the folder, if they are of this application as it is now; those of another one are set aside.

    `key`: of its serial calls, see `plan.key`: of its source, rows, variables and environment.
    """
    known = rows.read(folder.path)
    if known and folder.read_json(OF).get("key") != key:
        folder.replace(BEFORE, rows.table(known.values()))
        say(f"the answers on record are of other code, rows or variables: set aside in {folder.path / BEFORE}")
        known = {}
        folder.replace(rows.TABLE, rows.table(()))
    folder.replace(OF, json.dumps({"key": key}) + "\n")
    return known


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Of the calls without Celery: how long they take, the usual and the longest one, and the names of their errors."""

    usual_s: float
    longest_s: float
    raises: frozenset[str]


def pace(folder: Path) -> Calls:
    """By the record of these calls. Raises BadInput if none was answered."""
    (serial,) = (record for record in RunFolder(folder).latest().values() if record.as_cell.is_baseline)
    some = serial.outcome in ANSWERED or (serial.outcome is Outcome.ERRORS and serial.answers.ok)  # some rows, or now and then
    if not some or not serial.pace.measured_requests or not serial.pace.measured_s:
        raise BadInput(
            f"the calls without Celery gave no answer: {serial.reason}",
            remedy="'harness probe' shows how they end; mend that first",
        )
    usual_s = serial.pace.measured_s / serial.pace.measured_requests
    raises = frozenset(text.partition(":")[0].rpartition(".")[2] for text in serial.answers.errors)
    return Calls(usual_s=usual_s, longest_s=max(usual_s, serial.pace.slowest_s or 0.0), raises=raises)


def _row(task: Task, source: ApplicationSource, opened: Opened, url: str, calls: Calls) -> Row:
    celery = source.environment.installed.get("celery", "")
    if reason := measures.why_not(task.contract, task.cell.pool, calls.longest_s):
        return lanes.row(task.key, celery, ContractAnswer(verdict=NOT_APPLICABLE, detail=reason), "")
    evidence = opened.folder.path.resolve() / "evidence" / task.id
    stand = OwnStand(
        environment=source.environment, pool=task.cell.pool, url=url, bundle=Path(), stopped=opened.stopped,
        folder=supervisor.fresh_folder(opened.scratch.resolve() / "worker"), evidence=supervisor.fresh_folder(evidence),
        application=source.application, cell=task.cell, messages=source.facts.messages[: source.expected.rows],
        usual_s=calls.usual_s, longest_s=calls.longest_s, raises=calls.raises,
    )  # fmt: skip
    return lanes.row(task.key, celery, lanes.answered(task.contract.measure, stand), f"evidence/{task.id}/steps.txt")


def _write(opened: Opened, known: dict[tuple[str, str, str], Row], usual_s: float) -> None:
    groups = {"Limits, revokes, shutdowns and killed processes": list(measures.CONTRACTS.values())}
    opened.folder.replace(rows.TABLE, rows.table(known.values()))
    opened.folder.replace("contracts.md", rows.markdown(known, groups, PREFACE.format(usual=f"{usual_s:.2g}")))
    before = {name: told for name, told in opened.folder.read_json("run.json").items() if name not in ("machine", "started")}
    opened.folder.write_header(**{**before, "ended": now(), "interrupted": opened.stopped.is_set()})
