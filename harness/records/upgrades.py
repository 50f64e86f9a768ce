"""Older records, read like new ones: one small step per schema version. On reading only; the file stays as it is.

Schema history
    1: first version.
    2: figures of the trial with their intervals and windows, what the machine did beside us (noise), doubts, the
       medians of the waterfall's stages; the requests' files have the worker's own stamps. What the CPU did, as facts and
       as a verdict; memory by role, shared and private, and its growth; a file of samples.
    3: the same facts in sections, each made by the one room that knows it.

A record of a later version is refused: half understood, it would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import BadInput

SCHEMA = 3

#: section -> the fields of a flat record (schema 2) that it holds, under the same names,
SAME = {
    "asked": ("cell_id", "cell", "trial", "plan_key", "started", "versions"),
    "ended": (
        "outcome", "reason", "seconds", "evidence", "last_progress_s", "verdict_after_s", "cause", "support", "executors",
        "executors_hung",
    ),
    "answers": ("requests", "ok", "wrong", "unanswered", "errors", "max_error", "duplicates", "requests_file"),
    "pace": (
        "ready_s", "load_s", "first_predict_s", "warmup_requests", "executors_seen", "measured_s", "measured_requests",
        "waited_while_idle", "starved", "stages_p50_s",
    ),
    "cpu": ("noise", "threads_peak", "tree_cpu_s", "kernel_cpu_s", "samples_file"),
    "memory": ("peak_pss_bytes",),
    "client": ("sending",),
    "silent": (),
    "certainty": ("figures", "doubts"),
}  # fmt: skip
#: or under others
RENAMED = {
    "cpu": {"cpu": "use", "cpu_facts": "facts", "cpu_verdict": "verdict", "cpu_verdict_reason": "verdict_reason"},
    "memory": {"memory": "use"},
}
#: fields that no flat record had, by the names that a flat row has for them
NEWER = {
    "figures_unusable": ("certainty", "unusable"),
    "slowest_s": ("pace", "slowest_s"),
    "withdrawn": ("ended", "withdrawn"),
    "instead": ("ended", "instead"),
    "backlog": ("answers", "backlog"),
    "proof": ("ended", "proof"),
    "died": ("answers", "died"),
    "coverage": ("answers", "coverage"),
    "tasks": ("answers", "tasks"),
    "notes": ("certainty", "notes"),
    **{
        f"silent_{name}": ("silent", name)
        for name in (
            "processes", "executors", "pinned_core", "pinned_share", "busy_executors", "busy_engine", "engine_core",
            "engine_share", "alone_share", "left_behind", "serial", "end", "equal_errors",
        )
    },
}  # fmt: skip
#: a flat record's field -> (section, name in it)
PLACES = {
    **{name: (section, name) for section, names in SAME.items() for name in names},
    **{old: (section, new) for section, names in RENAMED.items() for old, new in names.items()},
    **NEWER,
}


def upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """A record of any earlier version as one of today's. Raises BadInput for a later one."""
    found = dict(data)
    while (version := found.get("schema_version", SCHEMA)) != SCHEMA:
        if version not in UPGRADES:
            raise BadInput(
                f"a record has schema version {version!r}, this harness knows versions up to {SCHEMA}",
                remedy="read it with the harness that wrote it, or a later one",
            )
        found = UPGRADES[version](found)
    return found


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Nothing was watched that could fill the new fields; figures are computed from the requests when they are asked for."""
    return {**data, "schema_version": 2, "figures": None, "noise": None, "doubts": []}


def _from_2(data: dict[str, Any]) -> dict[str, Any]:
    """The same fields, each in its section."""
    return {"schema_version": 3, **sections(data)}


def sections(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of a flat record, by section; those that it has.

    >>> sections({"trial": 1, "cpu_verdict": "saturated"})
    {'asked': {'trial': 1}, 'cpu': {'verdict': 'saturated'}}
    """
    found: dict[str, dict[str, Any]] = {}
    for old, (section, new) in PLACES.items():
        if old in flat:
            found.setdefault(section, {})[new] = flat[old]
    return found


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record in sections, in one row, by the names of a flat record."""
    return {old: record[section][new] for old, (section, new) in PLACES.items() if new in record.get(section, {})}


#: version -> the step from it to the next one
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}
