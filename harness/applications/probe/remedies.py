"""What helps against an application that cannot be imported, or cannot send its task.

The failure is told by `harness.worker.app_facts`, or by the check's own import, as text; nothing is run here.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.applications.probe.order import DOES_NOT_FIT

NO_CELERY = (
    "name the interpreter of the application's own environment, such as --python venv/bin/python: {python} has no Celery"
)
REMEDY = "check --app, --task, --args, --cwd and --env-file"
REDIS = (
    "the private broker speaks Redis, and the application's environment {state}: install {install} there; or leave it "
    "as it is, run 'uv pip install --target side {packages}', and put PYTHONPATH=side (the whole path) into --env-file"
)
MISMATCH = (
    "its Celery (kombu) refuses the client package that is installed there, so its own worker cannot reach such a broker, "
    "either: install celery[redis] there, which brings one that fits; if it does not, the version that the message names, or a "
    "kombu of the same age as its Celery"
)
EXITED = (
    "its import must not end Python: code that reads the command line goes below if __name__ == '__main__'; if it ends because "
    "a variable is missing, put that into --env-file; if it ends because it does not reach a server of its own, start that"
)
UNSET = "set it in this shell, or put it into --env-file, one NAME=value per line"
SPEAKS = re.compile(r"No module named (.*), which Celery needs to speak Redis")


def remedy_of(failure: str, app: str, python: Path, folder: Path) -> str:
    """What helps against an application that cannot be imported, or cannot send. `python`: its interpreter, `folder`: from
    which it is started."""
    if lacks := SPEAKS.search(failure):
        names = re.findall(r"'(\w+)'", lacks[1])
        client = ["celery[redis]"] if "redis" in names else []
        install = " and ".join([*client, *(name for name in names if name != "redis")])
        state = "has no client for it" if client else "has a client that cannot be imported"
        return REDIS.format(packages=" ".join(names), install=install, state=state)
    if "VersionMismatch" in failure or "cannot use the 'redis' package" in failure:
        return MISMATCH
    if re.search(r"No module named '?redis|redis.* (is|are) not installed|install.*redis", failure):
        return REDIS.format(packages="redis", install="celery[redis]", state="has no client for it")
    if "called sys.exit(" in failure:
        return EXITED
    if re.search(r"a variable that is not set$|environment variable|\benvvar\b", failure):
        return UNSET
    if re.search(r"row \d+ \(.*?\) cannot be sent: TypeError", failure):
        return DOES_NOT_FIT
    if "No module named 'celery'" in failure:
        return NO_CELERY.format(python=python)
    if elsewhere := _defined_elsewhere(failure, folder):
        return elsewhere
    if failure.startswith("LookupError: the "):
        return "name one that is there: --app module:application, --task as the worker prints it below [tasks]"
    missing = re.search(r"No module named '?([\w.:]+)", failure)
    if missing is None or ":" in missing[1]:
        return REMEDY
    return _not_found(missing[1].partition(".")[0], app, folder)


def _not_found(module: str, app: str, folder: Path) -> str:
    """What helps if a module, or package, of this name was not found."""
    own, below, within = module == app.partition(":")[0].partition(".")[0], _below(folder, module), folder.name == module
    if own and (below or within):
        place = folder.parent if within else below
        return f"{module} lies in {place}: start from there, as its own worker does: --cwd {place}"
    if own:
        return f"neither {folder} (--cwd) nor the environment of --python has it: check --app, --cwd and --python"
    if below:
        return (
            f"{module} lies in {below}: if its own worker has that folder on its PYTHONPATH, put PYTHONPATH={below} into "
            "--env-file; if it is started from there, name it as --cwd"
        )
    return f"install {module} in the environment of --python, or {REMEDY}"


def _below(folder: Path, module: str) -> Path | None:
    """The one folder below `folder`, as far as two levels down, that has the module; None if there is none, or several."""
    ends = [f"{levels}/{end}" for levels in ("*", "*/*") for end in (f"{module}.py", f"{module}/__init__.py")]
    found = {path.parent if path.name != "__init__.py" else path.parent.parent for end in ends for path in folder.glob(end)}
    found -= {place for place in found if any((up / "pyvenv.cfg").exists() for up in (place, *place.parents))}
    return found.pop() if len(found) == 1 else None


def _defined_elsewhere(failure: str, folder: Path) -> str:
    """What helps if a task's own module lies in the folder, and the application does not import it; or ''."""
    named = re.match(r"LookupError: the application has no task '([\w.]+)\.\w+'; it has", failure)
    if named is None or not folder.joinpath(*named[1].split(".")).with_suffix(".py").is_file():
        return ""
    return (
        f"there is a module {named[1]}, which the application does not import, so its own worker does not know that task, "
        f"either: name it in Celery's include, or as --app {named[1]}:NAME"
    )
