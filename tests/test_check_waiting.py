"""How long a task of an application waits for what a fork loses, as `harness check` reads it from the source."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import Any

import pytest

from harness.applications.check import check as checker
from harness.applications.check import functions, lost, waiting
from harness.applications.check.asked import Question
from harness.applications.check.finding import Finding, Level
from harness.applications.check.waiting import EVER
from tests.test_check_answer import looked, sides, thread
from tests.test_check_answer import row as answer

REPLIES = [
    ("def ask(x):\n    reply = Future()\n    INBOX.put((x, reply))\n    return reply.result()\n", [EVER]),
    ("def ask(x):\n    done = Event()\n    INBOX[x] = done\n    done.wait()\n", [EVER]),
    ("def ask(x):\n    done = Event()\n    INBOX[x] = done\n    done.wait(2)\n", [2.0]),
    ("def ask(x):\n    reply = Queue()\n    INBOX.put((x, reply))\n    return reply.get(True, 3)\n", [3.0]),
    ("def ask(x):\n    reply = Future()\n    INBOX.put((x, reply))\n    return reply\n", [EVER]),
    ("def ask(x):\n    done = Event()\n    OTHER[x] = done\n    done.wait()\n", []),
    ("def ask(x):\n    INBOX.put(x)\n    return CACHE.get(x)\n", []),
]


@pytest.mark.parametrize(("text", "limits"), REPLIES)
def test_a_wait_for_an_answer_is_one_for_what_was_handed_over(text: str, limits: list[float]) -> None:
    assert waiting.for_reply(ast.parse(text).body[0], "INBOX") == limits


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("q.put(x)", EVER),
        ("q.put(x, False)", 0.0),
        ("q.put(x, block=False)", 0.0),
        ("q.put(x, True, 2)", 2.0),
        ("q.put(x, timeout=0.05)", 0.05),
        ("q.put(x, timeout=None)", EVER),
        ("q.get()", EVER),
        ("q.get(False)", 0.0),
        ("q.get(True, 60 * 2)", 120.0),
        ("q.get(timeout=settings.limit)", None),
        ("q.get(block=wanted)", None),
        ("slots.acquire(blocking=False)", 0.0),
        ("slots.acquire(True, -1)", EVER),
        ("slots.acquire(timeout=1)", 1.0),
        ("future.result(3)", 3.0),
        ("ready.wait_for(done, 4)", 4.0),
        ("ready.wait_for(done)", EVER),
        ("ready.wait(LIMIT_S)", 0.25),
        ("ready.wait(OTHER_S)", None),
        ("ready.wait(seconds)", 1.5),
        ("ready.wait(given)", None),
        ("ready.wait(never)", EVER),
        ("ready.wait(later)", None),
    ],
)
def test_a_wait_ends_as_its_arguments_say(tmp_path: Path, text: str, limit: float | None) -> None:
    path = tmp_path / "shop.py"
    path.write_text(
        f"LIMIT_S, = LIMIT_S = 0.25\nLIMIT_S = 0.25\ndef ask(given, seconds=1.5, never=None, later=2):\n    {text}\n"
        "ask(1)\nask(2, later=9)\n".replace("LIMIT_S, = LIMIT_S = 0.25\n", "")
    )
    node = functions.function((str(path), 2, "ask"))
    assert node is not None
    (call,) = functions.calls_at(node)
    assert waiting.limit(call, node) == limit


WAITS = [
    ("Event", "READY.set()", "READY.wait()", Level.ERROR, "for ever"),
    ("Event", "READY.set()", "READY.wait(8)", Level.ERROR, "8 s in vain, each time"),
    ("Event", "READY.set()", "READY.wait(1.5)", Level.WARNING, "up to 1.5 s"),
    ("Event", "READY.set()", "READY.wait(0.05)", Level.NOTE, "up to 0.05 s"),
    ("Event", "READY.set()", "READY.wait(limit())", Level.WARNING, "up to its time limit"),
    ("Condition", "READY.notify()", "READY.wait()", Level.ERROR, "for ever"),
    ("Condition", "READY.notify()", "READY.wait(1)", Level.WARNING, "up to 1 s"),
    ("Semaphore", "READY.release()", "READY.acquire()", Level.ERROR, "for ever"),
    ("Semaphore", "READY.release()", "READY.acquire(blocking=False)", Level.WARNING, "no time"),
    ("Future", "READY.set_result(1)", "READY.result(timeout=2)", Level.WARNING, "up to 2 s"),
    ("Queue", "READY.put(1)", "READY.get()", Level.ERROR, "for ever"),
    ("Queue", "READY.put(1)", "READY.get(timeout=0.05)", Level.WARNING, "up to 0.05 s"),
    ("Queue", "READY.get()", "READY.put(1)", Level.ERROR, "as soon as 5 are in it"),
    ("Queue", "READY.get()", "READY.put(1, timeout=0.05)", Level.WARNING, "nobody takes what"),
    ("Queue", "READY.get()", "READY.join()", Level.ERROR, "until all is taken"),
    ("container", "READY[0].set()", "done = Event(); READY[x] = done; done.wait()", Level.ERROR, "for ever"),
    ("container", "READY[0].set()", "done = Event(); READY[x] = done; done.wait(2)", Level.WARNING, "up to 2 s"),
]


def found(folder: Path, kind: str, theirs: str, task: str, *, is_set: bool = False, **state: Any) -> list[Finding]:
    path = folder / "shop.py"
    path.write_text(f"READY = make()\ndef fetch():\n    {theirs}\ndef predict(x):\n    {task}\n")
    functions._tree.cache_clear()
    where = {"tasks": [[str(path), 4, "predict"]], "thread": [[str(path), 2, "fetch"]]}
    shared = {"label": "shop.READY", "kind": kind, "state": {"set": is_set, "most": 5, **state}, **where}
    return lost.found(looked(threads=[thread(path, shared=[shared])]), folder)


@pytest.mark.parametrize(("kind", "theirs", "task", "level", "said"), WAITS)
def test_a_wait_is_an_error_if_it_is_long(tmp_path: Path, kind: str, theirs: str, task: str, level: Level, said: str) -> None:
    (one,) = found(tmp_path, kind, theirs, task)
    assert (one.rule, one.level) == ("lost-thread", level)
    assert said in one.what


@pytest.mark.parametrize(("task", "level"), [("READY.wait()", Level.NOTE), ("READY.clear(); READY.wait()", Level.ERROR)])
def test_an_event_that_is_set_is_waited_for_by_who_clears_it(tmp_path: Path, task: str, level: Level) -> None:
    (one,) = found(tmp_path, "Event", "READY.set()", task, is_set=True)
    assert one.level is level


@pytest.mark.parametrize(
    ("kind", "theirs", "task", "state", "level", "said"),
    [
        ("Semaphore", "READY.release()", "READY.acquire()", {"value": 3}, Level.ERROR, "for ever, as soon as 3 are taken"),
        ("Semaphore", "READY.release()", "READY.acquire()", {"value": 0}, Level.ERROR, "waits for it for ever"),
        ("Semaphore", "READY.release()", "READY.acquire(); READY.release()", {"value": 3}, Level.WARNING, "as predict"),
        ("Semaphore", "READY.release()", "READY.acquire(); READY.release()", {"value": 0}, Level.ERROR, "for ever"),
        ("Queue", "READY.put(1)", "READY.get()", {"size": 1}, Level.ERROR, "for ever, as soon as 1 is taken"),
        ("Queue", "READY.put(READY.get())", "m = READY.get(); READY.put(m)", {"size": 2}, Level.WARNING, "as predict"),
        ("Queue", "READY.put(READY.get())", "m = READY.get(); READY.put(m)", {"size": 0}, Level.ERROR, "for ever"),
        ("Queue", "READY.get()", "m = READY.get(); READY.put(m)", {"size": 2}, Level.NOTE, "main process alone"),
    ],
)
def test_what_tasks_give_back_themselves_is_there_without_the_thread(
    tmp_path: Path, kind: str, theirs: str, task: str, state: dict[str, int], level: Level, said: str
) -> None:
    (one,) = found(tmp_path, kind, theirs, task, **state)
    assert (one.rule, one.level) == ("lost-thread", level)
    assert said in one.what


EMPTY = {"size": 0, "slots": {}, "whole": True, "mapping": True}
TABLE = {"size": 1, "slots": {"'w'": "False"}, "whole": True, "mapping": True}
LISTED = {"size": 1, "slots": {"0": "True"}, "whole": True, "mapping": False}
TRIES = "while True:\n        try: return %s\n        except %s: time.sleep(0.1)"
LOOPS: list[tuple[str, str, str, dict[str, Any], bool]] = [
    ("container", 'READY["w"] = 1', 'while "w" not in READY: time.sleep(0.1)', EMPTY, True),
    ("container", 'READY["w"] = 1', 'while not "w" in READY: log.info("waits"); sleep(1)', EMPTY, True),
    ("container", 'READY["w"] = 1', 'while READY.get("w") is None: time.sleep(0.1)', EMPTY, True),
    ("container", 'READY["w"] = 1', 'while not READY.get("w", False): time.sleep(0.1)', EMPTY, True),
    ("container", 'READY["w"] = 1', 'while not READY["w"]: time.sleep(0.1)', TABLE, True),
    ("container", "READY.append(1)", "while not READY: time.sleep(0.1)", EMPTY, True),
    ("container", "READY.append(1)", "while len(READY) < 2: time.sleep(0.1)", TABLE, True),
    ("container", 'READY["w"] = 1', "while True:\n        if READY: return 1\n        time.sleep(0.1)", EMPTY, True),
    ("container", 'READY["w"] = 1', TRIES % ('READY["w"].predict(x)', "KeyError"), EMPTY, True),
    ("container", 'READY["w"] = 1', TRIES % ('READY["w"]', "(ValueError, LookupError)"), EMPTY, True),
    ("container", "READY.append(1)", TRIES % ("READY[0]", "IndexError"), {**EMPTY, "mapping": False}, True),
    ("Queue", "READY.put(1)", TRIES % ("READY.get(timeout=1)", "queue.Empty"), {"size": 0}, True),
    ("Queue", "READY.put(1)", TRIES % ("READY.get_nowait()", "queue.Empty"), {"size": 2}, False),
    ("container", 'READY["w"] = 1', TRIES % ('READY["w"]', "ValueError"), EMPTY, False),
    ("container", 'READY["w"] = 1', TRIES % ('READY["w"]', "KeyError"), TABLE, False),
    ("container", 'READY["w"] = 1', TRIES % ('load(READY["w"])', "KeyError"), EMPTY, False),
    ("container", "READY.append(1)", "while READY[0]: time.sleep(0.1)", LISTED, False),
    ("container", "READY.append(1)", "while 1 not in READY: time.sleep(0.1)", LISTED, True),
    ("container", 'READY["w"] = 1', 'while "w" not in READY: time.sleep(0.1)', TABLE, False),
    ("container", 'READY["w"] = 1', 'while "v" not in READY: time.sleep(0.1)', {**TABLE, "whole": False}, False),
    ("container", 'READY["w"] = 1', 'while x not in READY: time.sleep(0.1)', TABLE, False),
    ("container", 'READY["w"] = 1', 'while "w" not in READY: time.sleep(0.1)', {}, False),
    ("container", 'READY["w"] = 1', 'while "w" not in READY and time.time() < x: time.sleep(0.1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'while "w" not in READY and T.is_alive(): time.sleep(0.1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'for _ in range(9):\n        if "w" not in READY: time.sleep(0.1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'while "w" not in READY:\n        if x > 9: raise ValueError', EMPTY, False),
    ("container", 'READY["w"] = 1', 'while "w" not in READY: step()', EMPTY, False),
    ("container", 'READY["w"] = 1', "while True: print(len(READY)); time.sleep(1)", EMPTY, False),
    ("container", 'READY["w"] = 1', 'while "w" not in READY: READY.update(w=1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'fill(READY)\n    while "w" not in READY: time.sleep(0.1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'mine = READY\n    while "w" not in READY: time.sleep(0.1)', EMPTY, False),
    ("container", 'print(READY["w"])', 'while "w" not in READY: time.sleep(0.1)', EMPTY, False),
    ("Event", "READY.set()", "while not READY.is_set(): time.sleep(0.1)", {"set": False}, True),
    ("Event", "READY.set()", "while not READY.wait(0.01): pass", {"set": False}, True),
    ("Event", "READY.set()", "while not READY.is_set(): time.sleep(0.1)", {"set": True}, False),
    ("Queue", "READY.put(1)", "while READY.empty(): time.sleep(0.1)", {"size": 0}, True),
    ("Queue", "READY.put(1)", "while not READY.qsize(): time.sleep(0.1)", {"size": 2}, False),
    ("Semaphore", "READY.release()", "while not READY.acquire(timeout=1): print(x)", {"value": 0}, True),
    ("Future", "READY.set_result(1)", "while not READY.done(): time.sleep(0.1)", {"done": False}, True),
    ("Future", "READY.set_result(1)", "READY.result()", {"done": True}, False),
    ("name", "global READY; READY = 1", "while READY is None: time.sleep(0.1)", {"slots": {"READY": "None"}}, True),
    ("name", "global READY; READY = 1", "while not READY: time.sleep(0.1)", {"slots": {"READY": "False"}}, True),
    ("name", "global READY; READY = 1", "while READY == False: time.sleep(0.1)", {"slots": {"READY": "False"}}, True),
    ("name", "global READY; READY = 1", "while READY == False: time.sleep(0.1)", {"slots": {"READY": "falsy"}}, False),
    ("name", "global READY; READY = 1", "while READY is None: time.sleep(0.1)", {"slots": {"READY": "object"}}, False),
    ("name", "READY = 1", "global READY\n    while not READY: READY = 1", {"slots": {"READY": "False"}}, False),
    ("owner", "READY.model = 1", "while READY.model is None: time.sleep(0.1)", {"slots": {"model": "None"}}, True),
    ("owner", "READY.model = 1", "while READY.model is None: READY.hits += 1; sleep(1)", {"slots": {"model": "None"}}, True),
    ("owner", "READY.other = 1", "while READY.model is None: time.sleep(0.1)", {"slots": {"model": "None"}}, False),
    ("container", 'READY["w"] = 1', 'while "w" not in READY: budget.sleep(0.1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'while "w" not in READY: parser.error("never")', EMPTY, False),
    ("container", 'READY["w"] = 1', 'from budget import sleep\n    while "w" not in READY: sleep(1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'import time as t\n    while "w" not in READY: t.sleep(1)', EMPTY, True),
    ("container", 'READY["w"] = 1', 'if DEBUG:\n        while "w" not in READY: time.sleep(1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'if not READY:\n        while "w" not in READY: time.sleep(1)', EMPTY, True),
    ("container", 'READY["w"] = 1', 'with limit(2):\n        while "w" not in READY: time.sleep(1)', EMPTY, False),
    ("container", 'READY["w"] = 1', 'with LOCK:\n        while "w" not in READY: time.sleep(1)', EMPTY, True),
    ("container", 'READY["w"] = 1', 'while "w" not in READY: time.sleep(1)\nthread(predict)', EMPTY, False),
    ("owner", "READY.model = 1", "while job.model is None: time.sleep(0.1)", {"slots": {"model": "None"}}, False),
    ("owner", "READY.model = 1", "while model is None: time.sleep(0.1)", {"slots": {"model": "None"}}, False),
    ("name", "global READY; READY = 1", "while job.READY is None: time.sleep(0.1)", {"slots": {"READY": "None"}}, False),
    ("name", "global READY; READY = 1", "while shop.READY is None: time.sleep(0.1)", {"slots": {"READY": "None"}}, True),
    ("container", 'READY["w"] = 1', 'while "w" not in job.READY: time.sleep(0.1)', EMPTY, False),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "theirs", "task", "state", "sure"), LOOPS)
def test_a_loop_that_only_the_thread_ends_is_an_error(
    tmp_path: Path, kind: str, theirs: str, task: str, state: dict[str, Any], sure: bool
) -> None:
    (one,) = found(tmp_path, kind, theirs, task, **{"set": None, **state})
    assert (one.rule, one.level is Level.ERROR) == ("lost-thread", sure), one.what
    assert ("predict (shop.py:4) asks for it in a loop, for ever" in one.what) == sure
    assert one.users[-1:] == ((str(tmp_path / "shop.py"), 4, "predict"),) or not sure


@pytest.mark.parametrize(
    ("task", "init", "elsewhere", "sure"),
    [
        ("READY.wait()", "READY.is_set()", [], True),
        ("READY.wait()", "READY.set()", [], False),
        ("READY.wait()", "keep(READY.set)", [], False),
        ("keep(READY.set); READY.wait()", "pass", [], False),
        ("READY.clear(); READY.wait(); READY.set()", "pass", [], True),  # it never comes to that
        ("READY.wait()", "pass", [["", 0, "", []]], False),
        ("READY.wait()", "READY = [READY]", [], False),
    ],
)
@pytest.mark.parametrize("of_tasks", [True, False])
def test_a_wait_that_another_one_may_end_is_a_warning(
    tmp_path: Path, task: str, init: str, elsewhere: list[Any], sure: bool, of_tasks: bool
) -> None:
    path = tmp_path / "shop.py"
    path.write_text(f"READY = Event()\ndef fetch():\n    READY.set()\ndef predict(x):\n    {task}\ndef init():\n    {init}\n")
    functions._tree.cache_clear()
    tasks, other = [[str(path), 4, "predict"]], [str(path), 6, "init"]
    shared = {
        "label": "shop.READY", "kind": "Event", "state": {"set": False}, "thread": [[str(path), 2, "fetch"]],
        "tasks": [*tasks, other] if of_tasks else tasks,
        "elsewhere": elsewhere if of_tasks else [*elsewhere, [*other, ["READY"]]],
    }  # fmt: skip
    (one,) = lost.found(looked(threads=[thread(path, shared=[shared])]), tmp_path)
    assert (one.level is Level.ERROR) == sure, one.what
    assert ("unless something else ends that wait" in one.what) == (not sure)


@pytest.mark.parametrize(
    ("task", "sure"),
    [
        ("STORE.get() or {}.get(x)", True),
        ("STORE.peek() or {}.get(x)", False),
        ("STORE.model", True),
        ("Thread(target=STORE.get)", False),
    ],
)
def test_a_method_that_nobody_is_seen_to_call_loops_for_nobody(tmp_path: Path, task: str, sure: bool) -> None:
    path, loop = tmp_path / "shop.py", "while self.value is None: time.sleep(1)"
    path.write_text(
        f"class Store:\n  def load(self):\n    self.value = 1\n  def get(self):\n    {loop}\n"
        f"  @property\n  def model(self):\n    {loop}\ndef predict(x):\n    {task}\n"
    )
    functions._tree.cache_clear()
    where = [[str(path), 4, "get"], [str(path), 6, "model"], [str(path), 9, "predict"]]
    shared = {
        "label": "shop.STORE", "kind": "owner", "state": {"slots": {"value": "None"}}, "tasks": where,
        "thread": [[str(path), 2, "load"]], "elsewhere": [], "bases": ["STORE", "self", "cls"],
    }  # fmt: skip
    (one,) = lost.found(looked(threads=[thread(path, shared=[shared])]), tmp_path)
    assert (one.level is Level.ERROR) == sure, one.what


@pytest.mark.parametrize(
    ("other", "sure"), [("READY['w'] = 2", False), ("return READY['w']", True), ("return fill(READY)", False)]
)
def test_a_loop_that_another_function_may_end_is_no_error(tmp_path: Path, other: str, sure: bool) -> None:
    path = tmp_path / "shop.py"
    path.write_text(
        "READY = {}\ndef fetch():\n    READY['w'] = 1\n"
        f"def predict(x):\n    while 'w' not in READY: time.sleep(1)\ndef other():\n    {other}\n"
    )
    functions._tree.cache_clear()
    shared = {
        "label": "shop.READY", "kind": "container", "state": EMPTY, "tasks": [[str(path), 4, "predict"]],
        "thread": [[str(path), 2, "fetch"]], "elsewhere": [[str(path), 6, "other", ["READY"]]],
    }  # fmt: skip
    (one,) = lost.found(looked(threads=[thread(path, shared=[shared])]), tmp_path)
    assert (one.level is Level.ERROR) == sure, one.what


@pytest.mark.parametrize(
    ("task", "level", "said"),
    [
        ("POOL.submit(work, x).result()", Level.ERROR, "waits for ever"),
        ("POOL.submit(work, x).result(timeout=0.05)", Level.WARNING, "up to 0.05 s"),
        ("job = POOL.submit(work, x); job.result(0.05)", Level.WARNING, "up to 0.05 s"),
        ("job = POOL.submit(work, x); job.result()", Level.ERROR, "waits for ever"),
        ("return POOL.submit(work, x)", Level.ERROR, "waits for ever"),
        ("POOL.submit(work, x)", Level.WARNING, "nobody does what"),
        ("done = Event(); POOL.submit(done.set); done.wait()", Level.ERROR, "waits for ever"),
        ("POOL.map(work, x)", Level.ERROR, "waits for ever"),
    ],
)
def test_work_for_a_lost_pool_is_an_error_if_it_is_waited_for(tmp_path: Path, task: str, level: Level, said: str) -> None:
    one = of_an_executor(tmp_path, task, most=1)
    assert (one.rule, one.level) == ("lost-pool", level)
    assert said in one.what


@pytest.mark.parametrize(
    ("task", "level"),
    [
        ("POOL.submit(work, x).result()", Level.ERROR),
        ("a = POOL.submit(work, x).result(); b = POOL.submit(work, x).result()", Level.ERROR),
        ("for one in x: POOL.submit(work, one).result()", Level.ERROR),
        ("settings.get(x); a = POOL.submit(work, x); a.result()", Level.ERROR),
        ("a = POOL.submit(work, x); b = POOL.submit(work, x); a.result(); b.result()", Level.WARNING),
        ("jobs = [POOL.submit(work, one) for one in x]; [job.result() for job in jobs]", Level.WARNING),
        ("list(POOL.map(work, x))", Level.WARNING),
        ("return POOL.submit(work, x)", Level.WARNING),
        ("POOL.submit(work, x)", Level.WARNING),
    ],
)
def test_an_executor_that_may_have_more_threads_starts_one_once_it_is_handed_more_than_it_believes_idle(
    tmp_path: Path, task: str, level: Level
) -> None:
    one = of_an_executor(tmp_path, task, most=4)
    assert (one.rule, one.level) == ("lost-pool", level)
    assert ("waits for ever" if level is Level.ERROR else "until it has been handed more than 1") in one.what


def of_an_executor(folder: Path, task: str, most: int) -> Finding:
    path = folder / "shop.py"
    path.write_text(f"POOL = make()\ndef predict(x):\n    {task}\n")
    functions._tree.cache_clear()
    state = {"processes": False, "managed": False, "threads": 1, "idle": 1, "most": most, "python": [3, 11], "idents": []}
    pool = {"label": "shop.POOL", "kind": "Executor", "tasks": [[str(path), 2, "predict"]], "state": state, "aware": False}
    (one,) = lost.found(looked(pools=[pool]), folder)
    return one


def test_a_caller_that_waits_for_a_while_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text(
        textwrap.dedent(
            """\
            def ask(x):
                reply = Future()
                INBOX.put((x, reply))
                return reply
            def predict(x):
                reply = ask(x)
                return reply.result(timeout=2)
            """
        )
    )
    node = functions.function((str(path), 1, "ask"))
    assert node is not None
    assert waiting.for_reply(node, "INBOX") == [2.0]


@pytest.mark.parametrize(
    ("users", "tasks", "level"),
    [
        ((("shop.py", 4, "predict"),), ["shop.predict", "shop.other"], Level.WARNING),
        ((("shop.py", 9, "ask"),), ["shop.predict"], Level.WARNING),
        ((("shop.py", 9, "ask"),), ["shop.predict", "shop.other"], Level.ERROR),
        ((), ["shop.predict"], Level.ERROR),
    ],
)
def test_a_call_that_came_back_speaks_against_what_it_would_have_shown(
    tmp_path: Path, users: Any, tasks: list[str], level: Level
) -> None:
    one = Finding(rule="lost-thread", level=Level.ERROR, what="it waits", todo="do", users=users)
    told = {"tasks": [{"name": name, "code": ["shop.py", 4, "predict"]} for name in tasks]}
    question = Question(app="shop:app", python=tmp_path, folder=tmp_path, variables={}, task="shop.predict")
    (ended,) = checker._with_calls([one], sides([answer(3), answer(3)], [answer(3)]), question, tmp_path, told)
    assert ended.level is level
