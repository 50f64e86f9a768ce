"""What a trial's JSON file holds: one builder for each of the four kinds, so that no key is spelled anywhere else.

The keys and what they mean stand in `contract`. The driver builds, and so do its benches; a worker only reads the file. A
builder takes each key by its name and gives what a plain worker has for those that are left out. Python 3.7, standard library
only.
"""

from typing import Any, Dict, Mapping, Optional, Sequence

Spec = Dict[str, Any]


def for_worker(
    *,
    backend: str,
    queue: str,
    events_dir: str,
    placement: str = "first-task",
    call: str = "predict",
    parent: str = "nothing",
    bundle: str = "",
    batch: int = 1,
    intra: Optional[int] = None,
    inter: Optional[int] = None,
    cache_dir: str = "",
    prefetch: int = 4,
    proc_alive_timeout: Optional[float] = None,
    options: Optional[Mapping[str, Any]] = None,
    celery: Optional[Mapping[str, Any]] = None,
) -> Spec:
    """Of our own worker, or of its baseline: `contract.SPEC_KEYS`. A worker that loads a model needs a `bundle`."""
    return {
        "backend": backend,
        "placement": placement,
        "call": call,
        "parent": parent,
        "bundle": bundle,
        "batch": batch,
        "intra": intra,
        "inter": inter,
        "cache_dir": cache_dir,
        "events_dir": events_dir,
        "prefetch": prefetch,
        "proc_alive_timeout": proc_alive_timeout,
        "queue": queue,
        "options": dict(options or {}),
        "celery": dict(celery or {}),
    }


def for_application(
    *,
    app: str,
    tasks: Sequence[str],
    rows: str,
    prefix: str,
    events_dir: str,
    of_rows: Sequence[int] = (),
    turns: Sequence[int] = (),
    deliveries: Sequence[Mapping[str, Any]] = (),
    settings: Optional[Mapping[str, Any]] = None,
) -> Spec:
    """Of somebody's own application, and of its serial calls: `contract.APPLICATION_SPEC_KEYS`."""
    return {
        "app": app,
        "tasks": list(tasks),
        "rows": rows,
        "of_rows": list(of_rows),
        "turns": list(turns),
        "deliveries": [dict(one) for one in deliveries],
        "prefix": prefix,
        "events_dir": events_dir,
        "settings": dict(settings or {}),
    }


def for_facts(
    *,
    app: str,
    tasks: Sequence[str],
    rows: Sequence[Any],
    of_rows: Sequence[int] = (),
    queue: str = "",
    own: Optional[Mapping[str, str]] = None,
    redis_alone: bool = True,
) -> Spec:
    """Of the question what an application is: `contract.FACTS_SPEC_KEYS`."""
    return {
        "app": app,
        "tasks": list(tasks),
        "rows": list(rows),
        "of_rows": list(of_rows),
        "queue": queue,
        "own": dict(own or {}),
        "redis_alone": redis_alone,
    }


def for_check(*, app: str, task: str = "", rows: Sequence[Any] = (), forks: int = 1) -> Spec:
    """Of the question what a fork would lose: `contract.CHECK_SPEC_KEYS`."""
    return {"app": app, "task": task, "rows": list(rows), "forks": forks}
