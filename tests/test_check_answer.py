"""What `harness check` makes of the look at a fork and of calls, over plain values; and its answer as text, JSON and SARIF."""

from __future__ import annotations

import ast
import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from harness import cli
from harness.applications.check import calls, changes, finding, lost, sarif, screen
from harness.applications.check import check as checker
from harness.applications.check.answer import Checked
from harness.applications.check.asked import Question
from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import linked
from harness.applications.check.modules import Source
from harness.applications.check.side_by_side import CHILDREN, Side, Sides, is_stuck
from harness.applications.check.static import at_import
from harness.errors import BadInput
from tests.doc_pages import DOCS

APP = textwrap.dedent(
    """\
    READY = make()
    def fetch():
        READY.set()
    def predict(x):
        READY.wait(timeout=8)
    """
)


def looked(**more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "threads": [], "native": [], "libraries": [], "pools": [], "packages": {}, "at_fork": [], "child": {}, "glances": 16,
        "imports": [], "locks": [], "connections": [], "databases": [], "files": [], "reading": [], "anew": [],
        "locking": [], "generators": [], "mapped": [], "futures": [], "channels": [], "paths": [],
    }  # fmt: skip
    return {**empty, **more}


def thread(file: Path, **more: Any) -> dict[str, Any]:
    base = {"ident": 7, "name": "loader", "kind": "threading.Thread", "target": "fetch", "by": [[str(file), 9, "<module>"]]}
    return {**base, "stands": [[str(file), 3, "fetch"]], "shared": [], **more}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.py"
    path.write_text(APP)
    return path


def event(file: Path, *, is_set: bool) -> dict[str, Any]:
    state = {"set": is_set}
    where = {"tasks": [[str(file), 4, "predict"]], "thread": [[str(file), 2, "fetch"]]}
    return {"label": "shop.READY", "kind": "Event", "state": state, **where}


def test_a_task_that_waits_for_what_a_lost_thread_sets_is_an_error(file: Path) -> None:
    (found,) = lost.found(looked(threads=[thread(file, shared=[event(file, is_set=False)])]), file.parent)
    assert (found.rule, found.level, found.place) == ("lost-thread", Level.ERROR, "shop.py:9")
    assert "8 s in vain" in found.what


@pytest.mark.parametrize(("ident", "said"), [(7, "it serves shop.POOL"), (8, "no task is seen to wait for it")])
def test_the_thread_of_a_pool_that_tasks_use_is_not_said_to_matter_to_none(file: Path, ident: int, said: str) -> None:
    state = {"processes": False, "managed": False, "threads": 1, "idle": 1, "most": 1, "python": [3, 11], "idents": [7]}
    pool = {"label": "shop.POOL", "kind": "Executor", "tasks": [[str(file), 4, "predict"]], "state": state, "aware": False}
    found = lost.found(looked(threads=[thread(file, ident=ident, target="_worker")], pools=[pool]), file.parent)
    assert [(one.rule, one.level) for one in found] == [("lost-thread", Level.NOTE), ("lost-pool", Level.ERROR)]
    assert said in found[0].what


def test_a_thread_that_a_child_starts_again_is_no_error(file: Path) -> None:
    (found,) = lost.found(looked(threads=[thread(file, again=True, shared=[event(file, is_set=False)])]), file.parent)
    assert found.level is Level.WARNING
    assert "unless it is started again there" in found.what


def test_what_is_set_already_is_no_error(file: Path) -> None:
    (found,) = lost.found(looked(threads=[thread(file, shared=[event(file, is_set=True)])]), file.parent)
    assert (found.rule, found.level) == ("lost-thread", Level.NOTE)


@pytest.mark.parametrize("child", [{"renewed": ["shop.READY"]}, {"threads": [["threading.Thread", "fetch"]]}])
def test_what_a_child_makes_anew_is_not_lost(file: Path, child: dict[str, Any]) -> None:
    found = lost.found(looked(threads=[thread(file, shared=[event(file, is_set=False)])], child=child), file.parent)
    assert [one for one in found if one.level is Level.ERROR] == []


@pytest.mark.parametrize(("tasks", "level"), [(True, Level.ERROR), (False, Level.WARNING)])
def test_a_held_lock_is_an_error_if_a_task_takes_it(file: Path, tasks: bool, level: Level) -> None:
    where = [[str(file), 4, "predict"]] if tasks else []
    lock = {"label": "shop.GUARD", "ident": 7, "file": str(file), "line": 3, "times": 15, "in_child": True, "tasks": where}
    (found,) = lost.found(looked(threads=[thread(file)], locks=[lock]), file.parent)
    assert (found.rule, found.level) == ("held-lock", level)
    assert "15 of 16 glances" in found.evidence[0]


@pytest.mark.parametrize(
    ("library", "packages", "level"),
    [
        ("/v/site-packages/tensorflow/libtensorflow_framework.so.2", {"keras": "shop.MODEL"}, Level.ERROR),
        ("/v/site-packages/tensorflow/libtensorflow_framework.so.2", {"requests": "shop.HTTP"}, Level.WARNING),
        ("/v/site-packages/torch/lib/libtorch_cpu.so", {"torch": "shop.NET"}, Level.WARNING),
        ("/v/site-packages/numpy.libs/libscipy_openblas64_.so", {"numpy": "shop.np"}, Level.NOTE),
        ("/envs/tensorflow2/lib/site-packages/numpy.libs/libscipy_openblas64_.so", {"keras": "shop.MODEL"}, Level.NOTE),
        ("/v/site-packages/pyarrow/libarrow.so.2600", {"pyarrow": "shop.TABLE"}, Level.NOTE),
        ("/v/site-packages/tokenizers/tokenizers.abi3.so", {"tokenizers": "shop.WORDS"}, Level.NOTE),
        ("/opt/vendor/libdevice.so", {}, Level.NOTE),
        ("/v/site-packages/_polars_runtime_32/_polars_runtime.abi3.so", {"polars": "shop.SALES"}, Level.NOTE),
    ],
)
def test_only_an_engine_that_was_seen_to_hang_is_an_error(
    tmp_path: Path, library: str, packages: dict[str, str], level: Level
) -> None:
    native = [{"tid": 5, "name": "worker", "library": library}]
    (found,) = lost.found(looked(native=native, packages=packages), tmp_path)
    assert (found.rule, found.level) == ("lost-engine", level)


@pytest.mark.parametrize(("package", "level"), [("faiss", Level.ERROR), ("sklearn", Level.WARNING)])
def test_a_package_that_never_hung_with_an_engine_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, level: Level
) -> None:
    monkeypatch.setattr(linked, "packages", lambda *_: {"faiss", "sklearn"})
    native = [{"tid": 5, "name": "python", "library": "/v/site-packages/scikit_learn.libs/libgomp-a34.so.1.0.0"}]
    (found,) = lost.found(looked(native=native, packages={package: "shop.SCALER"}), tmp_path)
    assert (found.rule, found.level) == ("lost-engine", level)
    assert ("waits for ever in a forked child" in found.what) == (level is Level.ERROR)


@pytest.mark.parametrize(("last", "level"), [("polars-ooc-clea", Level.NOTE), ("polars-0", Level.ERROR)])
def test_an_engine_that_only_allocates_in_the_main_process_is_no_error(tmp_path: Path, last: str, level: Level) -> None:
    library = "/v/site-packages/_polars_runtime_32/_polars_runtime.abi3.so"
    native = [{"tid": tid, "name": name, "library": library} for tid, name in enumerate(("jemalloc_bg_thd", last))]
    packages = {"_polars_runtime_32": "_polars_runtime_32._polars_runtime", "polars": "shop.SALES"}
    (found,) = lost.found(looked(native=native, packages=packages), tmp_path)
    assert (found.rule, found.level, found.made) == ("lost-engine", level, "shop.SALES" if level is Level.ERROR else "")


def test_a_connection_is_an_error_if_tasks_reach_it(file: Path) -> None:
    what = ["TCP", "10.0.0.5:6379", "established"]
    each = [{"descriptor": 4, "what": what, "reached": "shop.READY.sock"}, {"descriptor": 5, "what": what, "reached": ""}]
    found = lost.found(looked(connections=each), file.parent)
    assert [(one.level, one.place) for one in found] == [(Level.ERROR, "shop.py:1"), (Level.NOTE, "")]


@pytest.mark.parametrize(
    ("more", "anew", "level"),
    [({}, [], Level.ERROR), ({"aware": True}, [], Level.WARNING), ({}, ["shop.POOL"], None), ({}, ["shop.OTHER"], Level.ERROR)],
)
def test_a_pool_that_is_made_anew_in_each_child_is_not_lost(
    file: Path, more: dict[str, Any], anew: list[str], level: Level | None
) -> None:
    state = {"processes": False, "managed": False, "threads": 1, "idle": 1, "most": 1, "python": [3, 11], "idents": [7]}
    base = {"label": "shop.POOL", "kind": "Executor", "tasks": [[str(file), 4, "predict"]], "state": state, "aware": False}
    found = lost.found(looked(pools=[{**base, **more}], anew=anew), file.parent)
    assert [one.level for one in found] == ([level] if level else [])


def test_a_connection_is_a_warning_if_who_uses_it_asks_for_the_process(file: Path) -> None:
    each = [{"descriptor": 4, "what": ["TCP", "10.0.0.5:6379", "established"], "reached": "shop.READY", "aware": True}]
    (found,) = lost.found(looked(connections=each), file.parent)
    assert (found.level, found.what.endswith("unless it looks at the process's id for that")) == (Level.WARNING, True)


def test_a_connection_that_is_made_anew_in_each_child_is_not_shared(file: Path) -> None:
    each = [{"descriptor": 4, "what": ["TCP", "10.0.0.5:6379", "established"], "reached": "shop.READY"}]
    assert lost.found(looked(connections=each, anew=["shop.READY"]), file.parent) == []


@pytest.mark.parametrize(
    ("rule", "then"),
    [("thread-at-import", None), ("lock-at-import", None), ("pool-at-import", Level.NOTE), ("client-at-import", Level.WARNING)],
)
def test_what_the_source_says_of_threads_is_settled_by_the_look_at_them(rule: str, then: Level | None) -> None:
    one = Finding(rule=rule, level=Level.WARNING, what="made", todo="do", file="shop.py", line=3)
    assert [each.level for each in checker._once([one])] == ([then] if then else [])


@pytest.mark.parametrize(("begins", "rules"), [("SQLite format 3\0", ["shared-connection"]), ("text", []), (None, [])])
def test_a_connection_of_sqlite_is_a_warning_if_it_has_a_file(file: Path, begins: str | None, rules: list[str]) -> None:
    database = file.parent / "shop.sqlite"
    if begins is not None:
        database.write_text(begins)
    users = [["shop.READY", [[str(file), 4, "predict"]]]]
    found = lost.found(looked(databases=users, files=[str(database)]), file.parent)
    assert [(one.rule, one.level, one.place) for one in found] == [(rule, Level.WARNING, "shop.py:1") for rule in rules]


@pytest.mark.parametrize(
    ("open_at_the_fork", "anew", "found"), [(True, [], True), (False, [], False), (True, ["shop.READY"], False)]
)
def test_a_file_that_tasks_read_is_an_error_if_it_was_open_at_the_fork(
    file: Path, open_at_the_fork: bool, anew: list[str], found: bool
) -> None:
    vocabulary = str(file.parent / "vocabulary.txt")
    told = looked(
        reading=[["shop.READY", vocabulary, [[str(file), 4, "predict"]]]], files=[vocabulary] * open_at_the_fork, anew=anew
    )
    ended = lost.found(told, file.parent)
    expected = [("shared-file", Level.ERROR, "shop.py:1", "shop.READY")]
    assert [(one.rule, one.level, one.place, one.made) for one in ended] == expected * found


def test_a_file_that_is_no_library_needs_none(file: Path) -> None:
    assert linked.needed(str(file)) == ()


@pytest.mark.parametrize(
    ("label", "module", "name"),
    [("shop.store.STORE.pool", "shop.store", "STORE"), ("shop.APP", "shop", "APP"), ("other.X", None, "")],
)
def test_an_object_is_made_by_the_module_with_the_longest_fitting_name(label: str, module: str | None, name: str) -> None:
    tree = ast.parse("")
    sources = [Source(path=f"{one}.py", module=one, text="", tree=tree) for one in ("shop", "shop.store")]
    source, found = changes.made_in(label, sources)
    assert (source.module if source else None, found) == (module, name)


# Calls


def side(**more: Any) -> Side:
    return Side(pid=1, **more)


def test_a_child_is_stuck_if_it_waits_for_long_without_any_cpu() -> None:
    alone = side(took_s={0: 0.1}, ended=True)
    idle = [(float(second), 1.0) for second in range(10)]
    busy = [(float(second), 0.5 * second) for second in range(10)]
    assert is_stuck(side(at=0, begun_s=0.0, cpu=idle), alone, now_s=9.0)
    assert not is_stuck(side(at=0, begun_s=0.0, cpu=busy), alone, now_s=9.0)
    assert not is_stuck(side(at=0, begun_s=6.0, cpu=idle), alone, now_s=9.0)
    assert not is_stuck(side(at=None, begun_s=0.0, cpu=idle), alone, now_s=9.0)


def test_a_child_is_not_stuck_while_nobody_knows_how_long_the_call_takes() -> None:
    idle = [(float(second), 1.0) for second in range(100)]
    assert not is_stuck(side(at=0, cpu=idle), side(at=0), now_s=99.0)


def row(answer: Any, *, error: str = "") -> dict[str, Any]:
    return {"row": 0, "error": error, "payload": json.dumps({"result": answer}), "took_s": 0.1}


def sides(alone: list[dict[str, Any]], child: list[dict[str, Any]]) -> Sides:
    children = {number: side(rows=child, ended=True) for number in range(CHILDREN)}
    return Sides(alone=side(rows=alone, ended=True, took_s={0: 0.1}), children=children)


def judged(
    both: Sides, second: Any = None, *, supported: bool = True, by_itself: Side | None = None, late: Sequence[str] = ()
) -> list[Finding]:
    """`by_itself`: as the first of the children, if it says nothing else."""
    nowhere = Path("/nowhere")
    question = Question(app="shop:app", python=nowhere, folder=nowhere, variables={}, task="shop.predict")
    again = [] if second is None else [(0, second)]
    return calls.judged(both, question, lambda: again, lambda: by_itself or both.children[0], supported=supported, late=late)


def test_the_same_answers_say_nothing() -> None:
    assert judged(sides([row(3), row(3)], [row(3)])) == []


def test_another_answer_is_an_error_if_a_second_process_agrees_with_the_first() -> None:
    (found,) = judged(sides([row({"n": 3}), row({"n": 3})], [row({"n": 4})]), {"n": 3})
    assert (found.rule, found.level) == ("call-in-child", Level.ERROR)
    assert judged(sides([row({"n": 3}), row({"n": 3})], [row({"n": 4})]), {"n": 5}) == []


def test_another_answer_alone_is_a_warning_if_the_fork_lost_nothing() -> None:
    (found,) = judged(sides([row({"s": 0.0}), row({"s": 0.0})], [row({"s": 0.1})]), {"s": 0.0}, supported=False)
    assert found.level is Level.WARNING


@pytest.mark.parametrize(("alone", "level", "said"), [(4, Level.ERROR, "load (shop.py:9)"), (3, Level.WARNING, "lose nothing")])
def test_another_answer_of_a_child_that_worker_ready_came_too_late_for_is_an_error(alone: int, level: Level, said: str) -> None:
    both, late = sides([row(3), row(3)], [row(4)]), ["load (shop.py:9)"]
    (found,) = judged(both, 3, supported=False, late=late, by_itself=side(rows=[row(alone)], ended=True))
    assert found.level is level
    assert said in found.evidence[0]


def test_another_answer_beside_others_alone_is_not_the_forks_fault() -> None:
    """Each request writes the same file, and reads it."""
    both, fine = sides([row(3), row(3)], [row(6)]), side(rows=[row(3)], ended=True)
    (found,) = judged(both, 3, supported=False, by_itself=fine)
    assert (found.rule, found.level, found.is_a_forks) == ("call-beside", Level.WARNING, False)
    assert found.what.endswith("called it beside others, at result: 6 instead of 3")
    (found,) = judged(both, 3, supported=False, by_itself=side(ended=True))
    assert found.rule == "call-in-child", "nobody knows how a child by itself answers"
    (found,) = judged(both, 3, by_itself=fine)
    assert (found.rule, found.level) == ("call-in-child", Level.ERROR), "the fork lost what they need"


def test_what_differs_from_call_to_call_is_not_compared() -> None:
    assert judged(sides([row(0.1), row(0.2)], [row(0.3)]), 0.1) == []


def test_an_error_in_a_child_alone_is_an_error() -> None:
    (found,) = judged(sides([row(3)], [row(None, error="OSError: closed")]))
    assert (found.level, "OSError: closed" in found.what) == (Level.ERROR, True)


@pytest.mark.parametrize(
    ("died_in", "code", "said"),
    [(0, -6, "shop.predict, row 1, ended 2 of 2 forked children (SIGABRT), and"), (-1, 3, "worker_process_init ended 2 of 2"),
     (0, None, "row 1, ended 2 of 2 forked children, and comes back without a fork")],
)  # fmt: skip
def test_a_call_that_ends_a_child_alone_is_an_error(died_in: int, code: int | None, said: str) -> None:
    both, dead = sides([row(3)], []), side(died_in=died_in, code=code, ended=True)
    both.children = dict.fromkeys(range(CHILDREN), dead)
    for supported in (True, False):
        (found,) = judged(both, supported=supported)
        assert (found.rule, found.level, said in found.what) == ("call-in-child", Level.ERROR, True)
    assert not calls.answered(both)
    (found,) = judged(both, supported=False, by_itself=side(rows=[row(3)], ended=True))
    assert (found.rule, found.level) == ("call-beside", Level.WARNING)
    both.alone = side(rows=[row(None, error="OSError: 1")], ended=True)
    assert [one.rule for one in judged(both)] == ([] if died_in == 0 else ["call-in-child"]), "without a fork it fails, too"


def test_a_call_that_ends_its_process_without_a_fork_too_is_no_error() -> None:
    both = Sides(alone=side(died_in=0, code=-6, ended=True), children={0: side(died_in=0, code=-6, ended=True)})
    (found,) = judged(both)
    assert (found.level, "without a fork (SIGABRT): nothing to compare" in found.what) == (Level.NOTE, True)


def test_a_child_that_ends_in_a_call_has_died_in_it() -> None:
    one = side()
    for line in ({"starts": True, "at_s": 0.1}, {"begins": 0, "at_s": 0.2}, {"ended": True, "code": -6}):
        one.take(line, 1.0)
    assert (one.died_in, one.code, one.at, one.ended) == (0, -6, None, True)
    whole = side()
    for line in ({"starts": True, "at_s": 0.1}, {"begins": 0, "at_s": 0.2}, row(3), {"ended": True, "code": 0}):
        whole.take(line, 1.0)
    assert (whole.died_in, whole.code, whole.ended) == (None, 0, True)


def test_what_raises_beside_others_alone_is_not_the_forks_fault() -> None:
    both, fine = sides([row(3)], [row(None, error="OperationalError: database is locked")]), side(rows=[row(3)], ended=True)
    (found,) = judged(both, supported=False, by_itself=fine)
    assert (found.rule, found.level, found.is_a_forks) == ("call-beside", Level.WARNING, False)
    assert "database is locked" in found.what
    (found,) = judged(both, by_itself=fine)
    assert (found.rule, found.level) == ("call-in-child", Level.ERROR), "a connection that they share breaks at two calls alone"


def test_two_children_that_stop_each_other_are_not_stopped_by_the_fork() -> None:
    both, cpu = sides([row(3)], []), [(float(second), 1.0) for second in range(10)]
    for child in both.children.values():
        child.at, child.ended, child.stuck, child.cpu, child.stands = 0, False, True, cpu, "in flock (tasks.py:7)"
    assert [one.rule for one in judged(both, supported=False)] == ["call-in-child"]
    (found,) = judged(both, supported=False, by_itself=side(rows=[row(3)], ended=True))
    assert (found.rule, found.level, found.evidence) == ("call-beside", Level.WARNING, ("it waits in flock (tasks.py:7)",))
    assert [one.rule for one in judged(both, by_itself=side(rows=[row(3)], ended=True))] == ["call-in-child"], (
        "the fork lost a lock"
    )


def test_a_call_that_raises_on_both_sides_is_told_once_and_as_a_note() -> None:
    failed = row(None, error="OSError: no \x1b[31mmodel")
    (found,) = judged(sides([failed, failed], [failed, failed]))
    assert (found.rule, found.level) == ("call-raises", Level.NOTE)
    assert found.what == r"1 of 1 row raised in forked children, and without a fork, too; row 1: OSError: no \x1b[31mmodel"
    assert judged(sides([row(None, error="Retry: later")], [row(None, error="Retry: later")])) == []


def test_of_many_rows_that_raise_the_first_is_told_and_beside_it_what_only_the_child_does() -> None:
    def at(number: int, error: str) -> dict[str, Any]:
        return {**row(None if error else 3, error=error), "row": number}

    both = sides([at(0, ""), at(1, "A: 1"), at(2, "B: 2")], [at(0, "OSError: closed"), at(1, "A: 1"), at(2, "B: 2")])
    alone, alike = judged(both)
    assert (alone.rule, alone.level) == ("call-in-child", Level.ERROR)
    assert alike.what.startswith("2 of 3 rows raised") and alike.what.endswith("row 2: A: 1")  # noqa: PT018
    assert not calls.answered(both)
    assert calls.answered(sides([at(0, "")], [at(0, ""), at(1, "A: 1")]))
    assert not calls.answered(sides([], [at(1, "A: 1")])), "calls that raised say nothing of an engine"


def test_an_error_in_one_of_two_children_may_be_chance() -> None:
    both = sides([row(3)], [row(3)])
    both.children[0].rows = [row(None, error="OSError: closed")]
    assert [one.level for one in judged(both, supported=False)] == [Level.WARNING]
    assert [one.level for one in judged(both)] == [Level.ERROR]


def test_a_call_that_never_returns_without_a_fork_is_no_error() -> None:
    both = Sides(alone=side(at=0), children={0: side(at=0)})
    assert [one.level for one in judged(both)] == [Level.NOTE]


# The answer

SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "$schema", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {"$ref": "#/$defs/tool"},
                    "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
                },
            },
        },
    },
    "$defs": {
        "text": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}},
        "tool": {
            "type": "object",
            "required": ["driver"],
            "properties": {
                "driver": {
                    "type": "object",
                    "required": ["name", "rules"],
                    "properties": {"rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}}},
                }
            },
        },
        "rule": {
            "type": "object",
            "required": ["id", "shortDescription", "help"],
            "properties": {"shortDescription": {"$ref": "#/$defs/text"}, "help": {"$ref": "#/$defs/text"}},
        },
        "result": {
            "type": "object",
            "required": ["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"],
            "additionalProperties": False,
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": 0},
                "level": {"enum": ["none", "note", "warning", "error"]},
                "message": {"$ref": "#/$defs/text"},
                "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
                "locations": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["physicalLocation"],
                        "properties": {
                            "physicalLocation": {
                                "type": "object",
                                "required": ["artifactLocation", "region"],
                                "properties": {
                                    "artifactLocation": {
                                        "type": "object",
                                        "required": ["uri"],
                                        "properties": {"uri": {"type": "string", "pattern": "^[^/]"}},
                                    },
                                    "region": {
                                        "type": "object",
                                        "properties": {"startLine": {"type": "integer", "minimum": 1}},
                                    },
                                },
                            }
                        },
                    },
                },
            },
        },
    },
}

ERROR = Finding(
    rule="held-lock", level=Level.ERROR, file="shop.py", line=9, what="a lock is held", todo="move it", evidence=("so",)
)
NOTE = Finding(rule="shared-memory", level=Level.NOTE, what="memory is shared", todo="nothing")
WARNING = Finding(rule="result-in-task", level=Level.WARNING, file="shop.py", line=3, what="a task waits", todo="use a chain")


GROWS_OLD = replace(WARNING, rule="lost-thread", what="it grows old")


def checked(*findings: Finding, imported: bool = True) -> Checked:
    return Checked(app="shop:app", findings=tuple(finding.sorted_(findings)), files=1, imported=imported)


def test_the_sarif_has_what_code_scanning_asks_for() -> None:
    log = sarif.log(checked(NOTE, ERROR, WARNING), "shop.py")
    jsonschema.validate(json.loads(json.dumps(log)), SARIF)
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[one["ruleIndex"]] for one in run["results"]] == [one["ruleId"] for one in run["results"]]
    assert [one["level"] for one in run["results"]] == ["error", "warning", "note"]
    assert len({one["partialFingerprints"]["harness/v1"] for one in run["results"]}) == len(run["results"])


def test_the_schema_of_the_test_refuses_a_level_that_there_is_not() -> None:
    log = sarif.log(checked(ERROR), "shop.py")
    log["runs"][0]["results"][0]["level"] = "grave"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(log, SARIF)


@pytest.mark.parametrize(
    ("answer", "first"),
    [
        (checked(ERROR, NOTE), "prefork by fork will break it: a lock is held"),
        (checked(NOTE, WARNING), "nothing that a fork breaks was found (not a proof)"),
        (checked(NOTE, GROWS_OLD), "no error was found, but a warning about the fork: it grows old"),
        (
            checked(NOTE, GROWS_OLD, replace(GROWS_OLD, line=9), WARNING),
            "no error was found, but a warning about the fork (and 1 more): it grows old",
        ),
        (checked(ERROR, GROWS_OLD), "prefork by fork will break it: a lock is held"),
        (checked(), "nothing that a fork breaks was found (not a proof)"),
    ],
)
def test_the_first_line_is_the_answer(answer: Checked, first: str) -> None:
    assert screen.text(answer).splitlines()[0] == first
    assert screen.as_json(answer)["answer"] == first


def test_the_output_of_a_program_that_was_started_before_the_fork_is_shared(file: Path) -> None:
    reading = [["shop.READY", "pipe:[7]", [[str(file), 4, "predict"]]]]
    (found,) = lost.found(looked(reading=reading, files=["pipe:[7]"]), file.parent)
    assert (found.rule, found.level, found.place) == ("shared-connection", Level.ERROR, "shop.py:1")
    assert "children get each other's answers" in found.what
    assert lost.found(looked(reading=reading), file.parent) == [], "open since before the application"


def test_the_text_is_80_columns_wide() -> None:
    long = Finding(rule="held-lock", level=Level.ERROR, what="much to say " * 30, todo="do it " * 40, evidence=("seen " * 40,))
    assert max(map(len, screen.text(checked(long)).splitlines())) <= screen.WIDTH


def test_each_rule_has_its_heading_on_the_page() -> None:
    page = (DOCS / "reference" / "check.md").read_text()
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    assert headings == list(finding.RULES)


def test_the_hook_of_pre_commit_is_a_command_that_there_is() -> None:
    import yaml

    (hook,) = yaml.safe_load((DOCS.parent / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split()[:2] == ["harness", "check"]
    assert "--static" in hook["entry"]
    assert hook["entry"].split()[1] in cli.VERBS
    assert hook["pass_filenames"] is False


def test_who_only_looks_at_an_event_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text(APP.replace("timeout=8", "timeout=0"))
    found = lost.found(looked(threads=[thread(path, shared=[event(path, is_set=False)])]), path.parent)
    assert [one.level for one in found] == [Level.NOTE]


def test_what_a_library_that_looks_at_pids_shares_is_a_warning(file: Path) -> None:
    shared = {**event(file, is_set=False), "aware": True}
    (found,) = lost.found(looked(threads=[thread(file, shared=[shared])]), file.parent)
    assert found.level is Level.WARNING


def test_a_child_that_does_not_answer_is_told(file: Path) -> None:
    (found,) = lost.found(looked(child={"answered": False}), file.parent)
    assert (found.rule, found.level) == ("call-in-child", Level.WARNING)


def test_arguments_need_a_task_and_a_task_needs_no_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Question]()

    def whole(question: Question, _say: object) -> Checked:
        asked.append(question)
        raise BadInput("that is enough")

    monkeypatch.setattr(checker, "whole", whole)
    rows = tmp_path / "rows.json"
    rows.write_text("[[1], [2]]")
    line = ["check", "--app", "proj:app", "--python", sys.executable, "--cwd", str(tmp_path)]
    for options in ([], ["--task", "proj.clean"], ["--task", "proj.predict", "--args", str(rows)], ["--args", str(rows)]):
        CliRunner().invoke(cli.command_line(), [*line, *options])
    assert [(one.task, one.rows) for one in asked] == [("", ()), ("proj.clean", [[]]), ("proj.predict", [[1], [2]])]


def test_a_check_that_has_looked_at_the_threads_does_not_ask_to_look_at_them() -> None:
    source = "import lightgbm as lgb\n\nTRAIN = lgb.Dataset([[1.0]])\n"
    (static,) = at_import.found([Source(module="tasks", path="tasks.py", text=source, tree=ast.parse(source))])
    assert static.todo.endswith("run the check without --static, which sees the threads")
    (whole,) = checker._once([static])
    assert "--static" not in whole.todo
    assert whole.todo.startswith("call it in tasks alone; this check looked at the threads")


def test_a_second_import_that_does_not_end_is_told_as_that() -> None:
    (found,) = judged(Sides(alone=Side(), children={0: Side(pid=7, at=0)}))
    assert (found.rule, found.level) == ("call-in-child", Level.NOTE)
    assert "no second process imported the application beside the one that forks within 60 s" in found.what
