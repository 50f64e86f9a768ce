"""An archive of an application's probe to be read by strangers: what was seen, without names, paths, arguments and logs.

Nothing of it can be run, for what would be run is what was taken out. The nets are those of `harness why --bundle`
(`live.redact`): names that are known are replaced, and any other word that no text of ours uses.
"""

from __future__ import annotations

import builtins
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.applications.check.static.libraries import ENGINES
from harness.decide.advise.settings import without
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.live.redact import ROOMS, Names
from harness.run.one_trial import NAMED

if TYPE_CHECKING:
    from harness.applications.reproducer.own import Case

WORDS = (*ROOMS, "records", "applications/probe")  # rooms whose words a reason is made of
PLAIN = ("stacks", "threads", "waits", "requests")  # evidence that is ours or py-spy's; a log is the application's own text
NUMBER = re.compile(r"(?<![\w.])\d{8,}(?![\w.])")  # a pid is shorter, an account is not
NAMING = ("--queues", "--exclude-queues", "--include")  # arguments of a worker
LEAST_ARGUMENT = 3  # characters: a shorter one stands in many innocent words
ERRORS = frozenset(name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, BaseException))
CELERYS = frozenset({
    "WorkerLostError", "TimeLimitExceeded", "SoftTimeLimitExceeded", "MaxRetriesExceededError", "EncodeError", "ForkPoolWorker",
    "ConnectionError", "TimeoutError", "celery", "kombu", "billiard",
})  # fmt: skip
PUBLIC = frozenset((
    *ENGINES, *(name.replace("-", "_") for name in NAMED), "amqp", "async_timeout", "billiard", "click", "click_didyoumean",
    "click_plugins", "click_repl", "dnspython", "greenlet", "packaging", "pip", "prompt_toolkit", "python_dateutil", "redis",
    "requests", "scikit_learn", "scipy", "setuptools", "six", "sqlalchemy", "typing_extensions", "tzdata", "tzlocal", "vine",
    "wcwidth", "zope_event", "zope_interface",
))  # fmt: skip
README = """How one pool ended with somebody's Celery application, to be shown to somebody who helps.

case.json         how it ended, why, what was counted, and the worker's arguments
evidence/         stacks, threads and waits of each trial: frames of installed packages are whole
requirements.txt  the packages of the application's environment that are known by name here

Names, paths, arguments, variables and logs were taken out: {counts}. The same name has the same pseudonym everywhere.
It cannot be run: 'harness bundle' without --anonymous makes an archive that can.
"""


def name(cell: Cell) -> str:
    """A cell, without its task's name.

    >>> name(Cell(backend="app", pool="prefork", concurrency=2, workload="shop.price"))
    'app-prefork-c2'
    """
    return f"app-{cell.pool}-c{cell.concurrency}"


def contents(case: Case) -> dict[str, str]:
    """The files of the archive."""
    from harness.applications.reproducer import own

    names = of(case)
    files = {"requirements.txt": own.requirements({one: at for one, at in case.installed.items() if is_public(one)})}
    for path, text in own.seen(case).items():
        if path.rpartition("/")[2].startswith(PLAIN):
            files[f"evidence/{path}"] = _cleaned(names, text)
    files["case.json"] = own.as_json(told(case, names))
    counts = ", ".join(f"{count} x {kind}" for kind, count in sorted(names.counts.items())) or "there were none"
    files["README.md"] = README.format(counts=counts)
    return files


def of(case: Case) -> Names:
    """Pseudonyms for what this case knows as a name."""
    names, known = Names(rooms=WORDS, common=(*ERRORS, *CELERYS, *POOLS)), case.known
    module, _, attribute = known["app"].partition(":")
    found = {str(one): "argument" for one in scalars(list(case.rows)) if len(str(one)) >= LEAST_ARGUMENT}
    own = {**case.own, **(known.get("worker") or {}).get("variables", {})}
    found |= dict.fromkeys(own, "variable")
    found |= {value: "value" for value in own.values() if len(value) >= LEAST_ARGUMENT}
    found |= {known["app"]: "app", module: "app", attribute: "app", known["task"]: "task", known["queue"]: "queue"}
    found |= {known.get("consumed", ""): "queue", os.uname().nodename: "host", case.cell.workload: "task"}
    found |= {one.cell_id: "cell" for one in case.records} | {
        str(known["folder"]): "path",
        str(known.get("python", "")): "path",
    }
    found = {one: kind for one, kind in found.items() if one not in ("app", "celery")}
    owned = {module.partition(".")[0], known["task"].partition(".")[0], *tops(Path(known["folder"]))}
    names.learn(found, packages=owned)
    names.learn_files(libraries(case, owned))
    return names


def scalars(found: Any) -> Iterator[Any]:
    """All texts and numbers in what JSON can hold, and the names of an object's entries."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield key
            yield from scalars(value)
    elif isinstance(found, list):
        for value in found:
            yield from scalars(value)
    elif found is not None and not isinstance(found, bool):
        yield found


def tops(folder: Path) -> set[str]:
    """Names of the modules and folders that the application has at its top."""
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()} if folder.is_dir() else set()


def libraries(case: Case, owned: set[str]) -> dict[str, str]:
    """Files of installed packages and of the standard library in the stacks: as they are shortened there, and whole."""
    packages = {re.sub(r"[-.]", "_", one.lower()) for one in case.installed if is_public(one)}
    found = {}
    for text in _of_stacks(case):
        for short in re.findall(r"\((\S+?\.pyx?)(?::\d+)?\)", text):
            top = re.split(r"[/.]", short)[0]
            if top in owned or short.startswith("/"):
                continue
            if top in sys.stdlib_module_names:
                found[short] = f"/lib/python3.11/{short}"
            elif top.lower() in packages:
                found[short] = f"/lib/python3.11/site-packages/{short}"
    return found


def is_public(package: str) -> bool:
    """Whether its name tells nothing of anybody: it is one of those that are known here."""
    return re.sub(r"[-.]", "_", package.lower()) in PUBLIC


def _of_stacks(case: Case) -> Iterator[str]:
    from harness.applications.reproducer import own

    yield from (text for path, text in own.seen(case).items() if path.rpartition("/")[2].startswith(PLAIN))


def _cleaned(names: Names, text: str) -> str:
    return "\n".join(NUMBER.sub(lambda one: names.of("number", one[0]), names.text(line)) for line in text.split("\n"))


def nameless(known: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the worker's arguments name: queues and modules."""
    worker = known.get("worker") or {}
    return {**known, "queue": "", "worker": {"arguments": without(worker.get("arguments", ()), NAMING)}}


def told(case: Case, names: Names) -> dict[str, Any]:
    """Counts as they are, words cleaned."""
    from harness.applications.reproducer import own

    worst, cell = case.worst, case.cell
    return {
        "pool": cell.pool, "concurrency": cell.concurrency, "traffic": cell.traffic, "celery": list(case.known["celery"]),
        "python": case.interpreter, "outcome": worst.outcome.value, "reason": _cleaned(names, worst.reason),
        "cause": worst.ended.cause, "support": [_cleaned(names, line) for line in worst.ended.support],
        "worker_arguments": own.worker_arguments(cell, nameless(case.known)), "rows": len(case.rows),
        "trials": [trial(record) for record in case.records],
        "without_celery": trial(case.serial) if case.serial else None,
    }  # fmt: skip


def trial(record: Any) -> dict[str, Any]:
    """The numbers of one trial."""
    return {
        "outcome": record.outcome.value, "seconds": record.ended.seconds, "ready_s": record.pace.ready_s,
        **{one: getattr(record.answers, one) for one in ("requests", "ok", "wrong", "unanswered", "duplicates", "died")},
    }  # fmt: skip
