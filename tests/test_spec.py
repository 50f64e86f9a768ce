"""The file that tells a worker what it is to do: every key that the worker reads, and no other, whoever builds it."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

from harness.places import PACKAGE
from harness.worker import contract, spec

WORKER = PACKAGE / "worker"
OURS = spec.for_worker(backend="null", queue="q", events_dir="/e")
THEIRS = spec.for_application(app="shop:app", tasks=["shop.price"], rows="/r.json", prefix="ab", events_dir="/e")
QUESTION = spec.for_facts(app="shop:app", tasks=["shop.price"], rows=[[1]])
BUILT = [
    (spec.for_worker, OURS, contract.SPEC_KEYS),
    (spec.for_application, THEIRS, contract.APPLICATION_SPEC_KEYS),
    (spec.for_facts, QUESTION, contract.FACTS_SPEC_KEYS),
]


@pytest.mark.parametrize(("build", "built", "keys"), BUILT)
def test_a_builder_gives_the_keys_of_the_contract_and_takes_no_other(
    build: object, built: dict[str, object], keys: tuple[str, ...]
) -> None:
    assert sorted(built) == sorted(keys)
    parameters = inspect.signature(build).parameters  # type: ignore[arg-type]
    assert sorted(parameters) == sorted(keys)
    assert {one.kind for one in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert json.loads(json.dumps(built)) == built


def test_each_key_holds_what_was_given_for_it() -> None:
    values = {name: f"<{name}>" for name in contract.SPEC_KEYS}
    given = {**values, "options": {"fault": "sleep"}, "celery": {"task_acks_late": True}}
    assert spec.for_worker(**given) == given  # type: ignore[arg-type]
    lists = {"tasks": ["t", "u"], "of_rows": [0, 1], "turns": [1], "deliveries": [{"priority": 3}]}
    values = {**{name: f"<{name}>" for name in contract.APPLICATION_SPEC_KEYS}, **lists}
    assert spec.for_application(**{**values, "settings": {"a": 1}}) == {**values, "settings": {"a": 1}}  # type: ignore[arg-type]
    assert spec.for_facts(app="a", tasks=["t"], rows=[[1], {"x": 2}], queue="rare")["rows"] == [[1], {"x": 2}]


def test_a_plain_worker_has_one_row_a_request_and_celerys_own_start_window() -> None:
    assert (OURS["placement"], OURS["call"], OURS["parent"]) == ("first-task", "predict", "nothing")
    assert (OURS["batch"], OURS["prefetch"]) == (1, 4)
    assert OURS["intra"] is OURS["inter"] is OURS["proc_alive_timeout"] is None
    assert OURS["options"] == OURS["celery"] == {}


def test_what_is_built_is_not_shared_with_who_asked_for_it() -> None:
    options = {"fault": "sleep"}
    one = spec.for_worker(backend="faulty", queue="q", events_dir="/e", options=options)
    one["options"]["trial"] = 3
    assert options == {"fault": "sleep"}


@pytest.mark.parametrize(
    ("files", "keys"),
    [
        (("app.py", "runner.py", "baseline.py", "ceiling.py"), contract.SPEC_KEYS),
        (("visitor.py", "serial.py"), contract.APPLICATION_SPEC_KEYS),
        (("app_facts.py",), contract.FACTS_SPEC_KEYS),
    ],
)
def test_a_worker_reads_only_keys_of_the_contract(files: tuple[str, ...], keys: tuple[str, ...]) -> None:
    text = "\n".join((WORKER / name).read_text() for name in files)
    read = set(re.findall(r"(?:SPEC|\bspec|read_spec\(\))(?:\[|\.get\()\"(\w+)\"", text))
    assert read
    assert read <= set(keys)


def test_nobody_else_spells_the_keys_of_a_spec() -> None:
    by_hand = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent != WORKER and re.search(r"\"(?:proc_alive_timeout|events_dir)\"\s*:", path.read_text())
    ]
    assert by_hand == []


@pytest.mark.parametrize("path", [WORKER / "spec.py", WORKER / "contract.py"], ids=lambda path: path.name)
def test_both_sides_can_read_it(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 7))
