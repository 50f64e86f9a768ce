"""An archive of a probe of somebody's own application: how one pool ended, to be seen again without the harness.

The application stays where it is, unless its source is asked for: `particulars.py` names its folder, task and arguments, and
starts its worker. What is written is text, and no secret that we know of is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.applications.probe import order as orders
from harness.applications.probe.header import digest
from harness.applications.reproducer import anonymous, sources
from harness.decide.advise import settings
from harness.decide.compare import sides
from harness.errors import BadInput, NothingMatches
from harness.experiment import matrix
from harness.experiment.matrix import OWN_APP, Cell
from harness.experiment.traffic import parse
from harness.live.bundle import packed, store
from harness.records import evidence
from harness.records.outcomes import ANSWERED, NOT_JUDGED, Outcome
from harness.records.record import TrialRecord, by_cell
from harness.records.store import RunFolder
from harness.summary.summary import gravest
from harness.texts import SECRET_NAMES, few, hide, portable, without_secrets
from harness.trial.application import pool_arguments, varied_arguments
from harness.worker import own_settings, own_variables

SCRIPTS = ("reproduce.py", "particulars.py", "message_files.py")
LEAST_PATIENCE_S, PATIENCE = 20.0, 5.0  # a hang is called one after so long, or so many times the slowest call
LEAST_REQUESTS, ROUNDS = 20, 3  # so many requests are sent, or each row so often
MASK = "***"
#: what the script calls what it sees: it proves no hang, and compares nothing but what is to show a wrong answer
CALLED = {
    Outcome.WAITING: "hung", Outcome.STALLED: "hung", Outcome.RESPAWNING: "crashed", Outcome.UNCHECKED: "ok",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One cell of a probe. `known`: what `run.json` says of the application, with its paths; `installed`: version by package;
    `own`: variables of its file; `rows`: arguments of each request; `serial`: the record of the calls without Celery."""

    folder: Path
    cell: Cell
    records: Sequence[TrialRecord]
    serial: TrialRecord | None
    known: Mapping[str, Any]
    installed: Mapping[str, str]
    interpreter: str
    own: Mapping[str, str]
    rows: Sequence[Any]

    @property
    def worst(self) -> TrialRecord:
        return gravest(self.records)


def is_probe(folder: Path) -> bool:
    """Whether somebody's application was probed there."""
    return folder.is_dir() and bool(RunFolder(folder).read_json("run.json").get("application"))


def chosen(folder: Path, select: Sequence[str]) -> str:
    """The id of the one cell that failed, or that is selected. Raises BadInput, NothingMatches."""
    records = {name: each for name, each in by_cell(RunFolder(folder).trials()).items() if not each[0].as_cell.is_baseline}
    ends = {name: gravest(each).outcome for name, each in records.items()}
    if select:
        picked = [name for name, each in records.items() if any(matrix.matches(each[0].as_cell, one) for one in select)]
    else:
        picked = [name for name, outcome in ends.items() if outcome not in ANSWERED and outcome not in NOT_JUDGED]
    said = ", ".join(f"{name}: {outcome}" for name, outcome in ends.items())
    if not picked:
        what = f"no cell of {folder} matches {' or '.join(map(repr, select))}" if select else f"nothing failed in {folder}"
        shown = matrix.pattern_like([each[0].as_cell for each in records.values()], select)
        raise NothingMatches(f"{what}: it has {said}", remedy=f"--select '{shown}' packs a cell, however it ended")
    if len(picked) > 1:
        raise BadInput(
            f"{len(picked)} cells {'match' if select else 'failed'}: " + ", ".join(f"{name} ({ends[name]})" for name in picked),
            remedy=f"--select {picked[0]} packs that one",
        )
    return picked[0]


def read(folder: Path, cell_id: str, args: Path | None) -> Case:
    """Of a probe's folder. `args`: the file of the arguments, if it is not where it was. Raises BadInput."""
    side, everything = sides.read(folder), list(RunFolder(folder).current().values())
    records = [record for record in everything if record.cell_id == cell_id]
    if not records or side.application is None:
        raise BadInput(f"{folder} has no cell {cell_id!r}", remedy=f"'harness show {folder}' prints its cells")
    if gravest(records).outcome in NOT_JUDGED:
        raise BadInput(f"{cell_id} was not run: {gravest(records).reason}", remedy="name a cell that was")
    known, cell = side.application, records[0].as_cell
    if known.get("mix"):
        raise BadInput(
            f"{folder} is of a mix of tasks, and a bundle shows how one task ends",
            remedy="probe the task that fails alone, with --task and --args, and bundle that",
        )
    own = variables(known)
    hide(own)
    return Case(
        folder=folder, cell=cell, records=records, known=known, own=own, rows=rows(known, args),
        serial=next((record for record in everything if record.cell_id == cell.baseline().id), None),
        installed=side.packages.get(OWN_APP, {}), interpreter=side.interpreters.get(OWN_APP, ""),
    )  # fmt: skip


def variables(known: Mapping[str, Any]) -> dict[str, str]:
    """Of the application's own file. Raises BadInput if it is not where it was."""
    return orders.own_variables(Path(known["env_file"])) if known.get("env_file") else {}


def rows(known: Mapping[str, Any], args: Path | None) -> list[Any]:
    """The arguments that the probe sent. Raises BadInput if they are others, or nowhere."""
    named = args or (Path(known["args"]) if known.get("args") else None)
    found = orders.rows(named)
    if digest(found) != known["rows_digest"]:
        what = (
            f"{named} does not hold what the probe sent"
            if named
            else "the probe does not say which file its arguments are from"
        )
        raise BadInput(what, remedy="name the file with the arguments of that time: --args FILE; or probe again")
    return found


def make(case: Case, out: Path, *, source: bool, without_names: bool) -> Path:
    """Write the archive (.tar.gz); its path. Raises BadInput."""
    files = anonymous.contents(case) if without_names else contents(case, source=source)
    top = anonymous.name(case.cell) if without_names else case.cell.id
    store(out, packed(top, files), option="--out")
    return out


def contents(case: Case, *, source: bool) -> dict[str, str]:
    """The files of the archive. Raises BadInput if the source is asked for, and not where it was."""
    files = {name: Path(__file__).with_name(name).read_text() for name in SCRIPTS}
    files["cell.json"] = as_json(told(case))
    files["requirements.txt"] = requirements(case.installed)
    files["record.json"] = "\n".join(record.model_dump_json(indent=2) for record in case.records) + "\n"
    for path, data in seen(case).items():
        files[f"evidence/{path}"] = data
    copied = sources.masked(
        case.known["app"], Path(case.known["folder"]), needed=source, loaded=case.known.get("files", ())
    )  # its secrets are in no other file, either
    files |= {f"source/{path}": text for path, text in copied.items() if source}
    files["README.md"] = readme(case, copied if source else {})
    return {name: text if name in SCRIPTS else without_secrets(text) for name, text in files.items()}


def seen(case: Case) -> dict[str, str]:
    """The evidence of all its trials, by path: reasons, stacks and logs, as the probe has them."""
    found = {}
    for record in case.records:
        named = evidence.folder_of(record.ended.evidence)
        for path, data in evidence.files(case.folder, named).items() if named else ():
            found[f"trial-{record.trial}/{path}"] = data.decode("utf-8", "replace")
    return found


def requirements(installed: Mapping[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(installed.items()))


def told(case: Case) -> dict[str, Any]:
    """What reproduce.py and particulars.py read."""
    cell, known, worst = case.cell, case.known, case.worst
    given = {**case.own, **settings.of(cell, known).environment}
    return {
        "cell": cell.id, "app": known["app"], "task": known["task"], "queue": known["queue"], "args": list(case.rows),
        "celery": case.installed.get("celery", ""), "rows": len(case.rows), "project": portable(known["folder"]),
        "variables": masked(given), "check": known.get("check", ""),
        "left_out": list(own_variables.LEFT_OUT), "worker_arguments": worker_arguments(cell, known),
        "include": included(known, case.own), "script": bool((known.get("worker") or {}).get("script")),
        "settings": {one.name: one.value for one in own_settings.OVERRIDDEN},
        "in_flight": parse(cell.traffic).in_flight or 2 * cell.concurrency,
        "requests": max(LEAST_REQUESTS, ROUNDS * len(case.rows)),
        "compare": worst.outcome is Outcome.WRONG and not known.get("check"), "patience_s": patience_s(case),
        "outcome": worst.outcome.value,
        "called": CALLED.get(worst.outcome, worst.outcome.value), "reason": worst.reason,
    }  # fmt: skip


def worker_arguments(cell: Cell, known: Mapping[str, Any]) -> list[str]:
    """`celery worker`'s, beside those of every archive; of several of a name the last one counts, so each stands there once."""
    queues = ["--queues", known["queue"]] if known["queue"] else []
    celery = tuple(known.get("celery", ()))
    varied = varied_arguments(cell, known.get("varied", ()))
    kept = settings.without(_pasted(known), [*varied, *queues, "--include"])
    return [*pool_arguments(cell, celery), *varied, *kept, *queues]


def _pasted(known: Mapping[str, Any]) -> Sequence[str]:
    """What was kept of the worker's own line; nothing before Celery 5, which did not read it in the measurement either."""
    reads = tuple(known.get("celery", ())) >= own_variables.FIRST
    return (known.get("worker") or {}).get("arguments", ()) if reads else ()


def included(known: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    """The modules of the line's --include, or of the variable in its place: they may hold the task."""
    words = [*_pasted(known), ""]
    told = next((words[place + 1] for place, word in enumerate(words) if word == "--include"), "")
    told = told or variables.get(own_variables.INCLUDE, "")
    return [name.strip() for name in told.split(",") if name.strip()]


def patience_s(case: Case) -> float:
    slowest = [one.pace.slowest_s or 0.0 for one in (*case.records, *filter(None, [case.serial]))]
    first = [one.pace.first_predict_s or 0.0 for one in (*case.records, *filter(None, [case.serial]))]
    return max(LEAST_PATIENCE_S, PATIENCE * max([*slowest, *first]))


def masked(given: Mapping[str, str]) -> dict[str, str]:
    """Variables, without what is a secret by its name or its form."""
    return {name: MASK if SECRET_NAMES.search(name) else without_secrets(value) for name, value in sorted(given.items())}


def readme(case: Case, copied: Mapping[str, str]) -> str:
    """What it is, how it is run, what is in it."""
    worst, known = case.worst, case.known
    setup = settings.of(
        case.cell, {name: value for name, value in known.items() if name not in ("python", "folder", "env_file")}
    )
    cause = f"\nLikely cause: **{worst.ended.cause}**\n\n" + "".join(f"* {line}\n" for line in worst.ended.support)
    sent = "one row" if len(case.rows) == 1 else f"{len(case.rows)} rows"
    source = (
        f"\n* `source`: {few(list(copied), 5)}. They are what the application loads from its folder, or imports there; "
        f"what looked like a secret is `{MASK}`. Files that it reads, such as models, are not here\n"
        if copied
        else f"\n\nThe source is not here: the script expects it in `{portable(known['folder'])}`, or where `--project` says.\n"
    )
    return f"""# `{case.cell.id}`: {worst.outcome}

{worst.reason}
{cause if worst.ended.cause else ""}
{len(case.records)} trial{"s" if len(case.records) > 1 else ""}, with Python {case.interpreter} and Celery \
{".".join(map(str, known["celery"]))}. The worker was

```sh
{setup.shell}
```

with a private broker, and the task `{known["task"]}` was sent {sent} in turn.

## Run it

With the interpreter of the application's environment (`requirements.txt` lists what was in it), in this folder:

```sh
python reproduce.py --project /path/to/the/project
```

It starts the worker, sends requests, and prints how they ended; exit 0 if that is `{told(case)["called"]}` again. No server is
needed: messages go through files. The measurement had a server; `--broker redis://…/15` uses an empty database of yours, which
matters if a queue stalls. The task is called for real. What happens to some workers only may take another try, or
`--requests 500`.

## What is here

* `reproduce.py` starts the worker, sends the calls and says how they ended; `particulars.py` finds the application,
  `message_files.py` lets messages go through files
* `cell.json`: the arguments of each request, the variables, the worker's arguments. A variable that is a secret is `{MASK}`
* `record.json`: all that was measured; `evidence`: what was seen of each trial{source}"""


def as_json(found: object) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
