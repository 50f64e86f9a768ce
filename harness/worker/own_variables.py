"""Variables of an application's environment that `celery worker` reads as its options, and what becomes of each in a trial.

Celery 5 reads them by click: `BROKER_URL` and a few by name, and each option of the worker as `CELERY_WORKER_…`
(`auto_envvar_prefix` in celery/bin/celery.py, 5.0 to 5.7). An option beats the setting. One table, as in `own_settings`: the
driver starts the worker by it and says what it did. Python 3.7, standard library only.
"""

from types import MappingProxyType
from typing import Dict, Iterable, List, Mapping, Tuple

from harness.worker import own_settings

FIRST = (5, 0)  # Celery with click

#: they would lead the worker to the owner's own broker, and beat CELERY_BROKER_URL
URLS = ("BROKER_URL", "RESULT_BACKEND", "CELERY_BROKER")
RESULTS = ("RESULT_BACKEND",)
#: left out, and why; what the trial says on the command line would win over the first ones anyway
LEFT_OUT = {
    "CELERY_WORKER_POOL": "each trial has the pool that --pools says",
    "CELERY_WORKER_POOL_START_METHOD": "each trial has the pool that --pools says",
    "CELERY_WORKER_CONCURRENCY": "each pool has what --concurrency says",
    "CELERY_WORKER_AUTOSCALE": "the number of executors is --concurrency, and is not scaled",
    "CELERY_WORKER_HOSTNAME": "the trial's worker has a name of its own",
    "CELERY_WORKER_LOGLEVEL": "the trial keeps the log",
    "CELERY_WORKER_LOGFILE": "the trial keeps the log",
    "CELERY_WORKER_PIDFILE": "a trial neither reads nor writes the owner's file",
    "CELERY_WORKER_STATEDB": "a trial neither reads nor writes the owner's file",
    "CELERY_WORKER_DETACH": "the trial watches the worker",
    "CELERY_WORKER_PURGE": "the private broker is empty",
    "CELERY_WORKER_BEAT": "no beat runs, so its periodic tasks add no load",
    "CELERY_WORKER_UID": "the worker runs as the user who probes",
    "CELERY_WORKER_GID": "the worker runs as the user who probes",
    "CELERY_WORKDIR": "--cwd says where the worker is started",
}
INCLUDE = "CELERY_WORKER_INCLUDE"  # added to the trial's own
#: kept: a variable -> the setting whose place it takes
KEPT = {
    "CELERY_WORKER_PREFETCH_MULTIPLIER": "worker_prefetch_multiplier",
    "CELERY_WORKER_DISABLE_PREFETCH": "worker_disable_prefetch",
    "CELERY_WORKER_MAX_TASKS_PER_CHILD": "worker_max_tasks_per_child",
    "CELERY_WORKER_MAX_MEMORY_PER_CHILD": "worker_max_memory_per_child",
    "CELERY_WORKER_TIME_LIMIT": "task_time_limit",
    "CELERY_WORKER_SOFT_TIME_LIMIT": "task_soft_time_limit",
    "CELERY_WORKER_TASK_EVENTS": "worker_send_task_events",
}
FLAGS, TRUE = ("CELERY_WORKER_DISABLE_PREFETCH", "CELERY_WORKER_TASK_EVENTS"), ("1", "true", "t", "yes", "y", "on")
PREFIX = "CELERY_WORKER_"


def in_trial(variables: Mapping[str, str], url: str, results: str = "") -> Dict[str, str]:
    """The variables as a trial's processes get them; `url`: of the private broker, `results`: of the result back end, if it is
    not the same."""
    found = {name: value for name, value in variables.items() if name not in LEFT_OUT}
    found.update({name: results or url if name in RESULTS else url for name in URLS if name in found})
    return found


def said(variables: Mapping[str, str], celery: Tuple[int, int], options: Mapping[str, str] = MappingProxyType({})) -> List[str]:
    """A sentence for each that changes what is measured; `celery`: (major, minor), `options`: those of a pasted line that stand
    in such variables, by them. Their URLs are not shown."""
    if celery < FIRST:
        return []
    words = {row.name: row.words for row in own_settings.KEPT}
    lines = ["the variable %s names the private broker in the trial" % name for name in URLS if variables.get(name)]
    lines += ["the variable %s is left out in the trial: %s" % pair for pair in LEFT_OUT.items() if variables.get(pair[0])]
    for name in sorted(name for name, value in variables.items() if name.startswith(PREFIX) and value and name not in LEFT_OUT):
        does = words.get(KEPT.get(name, ""), "an option of the worker")
        what = "the worker line's " + options[name] if name in options else "the variable " + name
        lines.append("%s is %s, kept: %s" % (what, _shown(variables[name]), does))
    return lines


def unbeaten(lines: Iterable[str], variables: Mapping[str, str], celery: Tuple[int, int]) -> List[str]:
    """What is said of the settings, but for those whose place a variable takes."""
    beaten = {KEPT[name] for name in KEPT if celery >= FIRST and _holds(name, variables.get(name, ""))}
    return [line for line in lines if line.partition(" ")[0] not in beaten]


def _holds(name: str, value: str) -> bool:
    """Whether the variable says something: a flag that is off leaves it to the setting."""
    return value.lower() in TRUE if name in FLAGS else bool(value)


def _shown(value: str) -> str:
    return str(own_settings.shown(value))  # type: ignore[no-untyped-call]


def number(variables, setting):
    """What a kept variable says in the place of this setting, as a number; None where none does."""
    for name, place in KEPT.items():
        if place == setting and variables.get(name):
            try:
                value = float(variables[name])
            except ValueError:
                return None
            return int(value) if value == int(value) else value
    return None
