"""The diffs that `harness check` prints: what is lost moves as a whole, or there is none; and what stays is still found."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.applications.check import changes, functions, lost
from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from tests.test_check_answer import looked, thread

PARTS = """
class Client:
    def __init__(self, line):
        self.line = line
    def ask(self, x):
        reply = queue.Queue()
        self.line.put((x, reply))
        return reply.get()
class Server:
    def __init__(self, line):
        self.line = line
    def start(self):
        threading.Thread(target=self.run).start()
    def run(self):
        x, reply = self.line.get()
        reply.put(x)
"""
TASK = "@app.task\ndef predict(x):\n    return CLIENT.ask(x)\n"


def proposed(text: str, made: str, start: str, *, rule: str = "lost-thread") -> Finding:
    """`start`: the line of the top level that starts the thread; '' if a function does, 'none' if no thread is meant."""
    source = Source(path="shop.py", module="shop", text=text, tree=ast.parse(text))
    line = text.splitlines().index(start) + 1 if start not in ("", "none") else 0
    frames = (("shop.py", 13, "start"), *((("shop.py", line, "<module>"),) if line else ()))
    one = Finding(
        rule=rule, level=Level.ERROR, what="it waits", todo="do", made=made, started=None if start == "none" else frames
    )
    (found,) = changes.proposed([one], [source])
    return found


def test_what_starts_the_thread_moves_with_the_object() -> None:
    text = f"{PARTS}LINE = queue.Queue()\nCLIENT = Client(LINE)\nSERVER = Server(LINE)\nSERVER.start()\n{TASK}"
    found = proposed(text, "shop.CLIENT.line", "SERVER.start()")
    removed = [line for line in found.diff.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert removed == ["-LINE = queue.Queue()", "-CLIENT = Client(LINE)", "-SERVER = Server(LINE)", "-SERVER.start()"]


@pytest.mark.parametrize(
    ("end", "start", "why"),
    [
        ("serve(LINE)\n", "", "no line of this module starts the thread"),
        ("start_all()\n", "start_all()", "starts the thread, and would stay in the main process"),
        ("SERVER = Server(LINE)\nSERVER.start()\n@app.task(line=SERVER)\ndef f(): pass\n", "SERVER.start()", "reads"),
    ],
)
def test_no_diff_is_made_that_leaves_the_thread_where_it_is(end: str, start: str, why: str) -> None:
    found = proposed(f"{PARTS}LINE = queue.Queue()\nCLIENT = Client(LINE)\n{end}{TASK}", "shop.CLIENT.line", start)
    assert found.diff == ""
    assert why in found.todo


def test_what_an_object_is_made_of_moves_with_it() -> None:
    text = f"import socket\nCONN = socket.create_connection(WHERE)\nCLIENT = Client(CONN)\n{TASK}"
    found = proposed(text, "shop.CLIENT", "none", rule="shared-connection")
    assert "-CONN = socket.create_connection(WHERE)" in found.diff.splitlines()


def test_no_diff_leaves_an_engine_computing_in_the_main_process() -> None:
    text = "import faiss\nCLIENT = faiss.Index(3)\n{}" + TASK
    assert proposed(text.format(""), "shop.CLIENT", "none", rule="lost-engine").diff
    found = proposed(text.format("OTHER = faiss.Index(4)\n"), "shop.CLIENT", "none", rule="lost-engine")
    assert found.diff == ""
    assert "line 3 computes with the same package" in found.todo


@pytest.mark.parametrize(
    ("made", "level", "said"),
    [
        ("Client(LINE)", Level.ERROR, "ask (shop.py:5) waits for its answer for ever"),
        ("Handler(LINE)", Level.WARNING, "nobody takes what is put into it by what load (shop.py:18) hands it to"),
        ("Server(LINE)", Level.NOTE, "no task is seen to wait for it"),
    ],
)
def test_what_a_child_makes_with_a_queue_of_the_main_process_still_waits(
    tmp_path: Path, made: str, level: Level, said: str
) -> None:
    path = tmp_path / "shop.py"
    path.write_text(f"{PARTS}LINE = queue.Queue()\ndef load():\n    global CLIENT\n    CLIENT = {made}\n")
    functions._tree.cache_clear()
    where = {"tasks": [[str(path), 18, "load"]], "thread": [[str(path), 14, "run"]]}
    shared = {"label": "shop.LINE", "kind": "Queue", "state": {"most": 0}, **where}
    (one,) = lost.found(looked(threads=[thread(path, shared=[shared])]), tmp_path)
    assert one.level is level
    assert said in one.what
