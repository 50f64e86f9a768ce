"""Memory that a fork shares and does not copy: which objects are of it, how tasks use it, and what is said."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from harness.applications.check import lost, written
from harness.applications.check.finding import Level
from harness.worker import shared_pages
from tests.test_check_answer import looked
from tests.test_fork_look import imported, reach

SHOP = """
import mmap
import multiprocessing
import tempfile
from multiprocessing import shared_memory

import numpy

FILE = tempfile.TemporaryFile()
FILE.write(bytes(8192))
FILE.flush()
SCRATCH = multiprocessing.RawArray("d", 8)
LAST = multiprocessing.RawValue("d")
VIEW = numpy.frombuffer(SCRATCH)
PAGES = mmap.mmap(-1, 4096)
READ = mmap.mmap(FILE.fileno(), 0, access=mmap.ACCESS_READ)
COPIED = numpy.memmap(FILE, mode="c")
STORED = numpy.memmap(FILE, mode="r+")  # the file has no path any more
BY_PATH = numpy.memmap(__file__, mode="r+")
COUNTED = multiprocessing.Value("i")
NAMED = shared_memory.SharedMemory(create=True, size=64)
OWN = numpy.zeros(8)
ROW = bytearray(8)


class Loud:
    def __buffer__(self, flags):
        raise SystemExit("somebody ran code of the application's")


LOUD = Loud()


def task(x):
    SCRATCH, VIEW, PAGES, READ, COPIED, STORED, BY_PATH, COUNTED, NAMED, OWN, ROW, LOUD
    LAST.value = x
    return LAST.value
"""


def test_an_object_is_told_whose_bytes_a_fork_shares(tmp_path: Path) -> None:
    path = tmp_path / "shop_of_pages.py"
    path.write_text(SHOP)
    with imported(path) as shop:
        found = shared_pages.mapped(reach(shop, "task"))
        told = lost.found({**looked(), "mapped": found}, tmp_path)
        shop.NAMED.close()
        shop.FILE.close()
        shop.NAMED.unlink()
    labels = ["LAST", "PAGES", "SCRATCH", "STORED", "VIEW"]
    assert sorted(label for label, _ in found) == [f"shop_of_pages.{label}" for label in labels]
    assert [(one.rule, one.level, one.made, one.line) for one in told if one.rule == "shared-writes"] == [
        ("shared-writes", Level.ERROR, "shop_of_pages.LAST", 13)
    ]


SCRATCH, WRITES = written.Use.SCRATCH, written.Use.WRITES


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("X[0] = v; return X[0]", WRITES),  # lines tell what is first
        ("X[0] = v\nreturn X[0]", SCRATCH),
        ("X[:] = v\nreturn sum(X)", SCRATCH),
        ("X[: len(v)] = v\nreturn X[0]", SCRATCH),
        ("for at, each in enumerate(v):\n    X[at] = each\nreturn sum(X)", SCRATCH),
        ("X.value = v\nreturn X.value", SCRATCH),
        ("X.buf[0] = v\nreturn X.buf[0]", SCRATCH),
        ("shop.X[0] = v\nreturn shop.X[0]", SCRATCH),
        ("numpy.copyto(X, v)\nreturn model(X)", SCRATCH),
        ("numpy.exp(v, out=X)\nreturn X.sum()", SCRATCH),
        ("X.fill(0)\nreturn X.sum()", SCRATCH),
        ("view = numpy.frombuffer(X)\nview[:] = v\nreturn view.sum()", SCRATCH),
        ("with numpy.errstate():\n    X[0] = v\nreturn X[0]", SCRATCH),
        ("X[0] = v\nX[8] = v\nreturn X[0]", SCRATCH),
        ("X.seek(0)\nX.write(v)\nX.seek(0)\nreturn X.read(8)", SCRATCH),
        ("for at in range(8):\n    X[at] = v\nreturn sum(X)", SCRATCH),
        ("half = X[:8]\nhalf[:] = v\nreturn half.sum()", SCRATCH),
        ("row = X[v]\nrow[:] = v\nreturn row.sum()", WRITES),
        ("row = numpy.frombuffer(X, offset=8 * slot)\nrow[:] = v\nreturn row.sum()", WRITES),
        ("for at in range(slot, slot + 8):\n    X[at] = v\nreturn sum(X)", WRITES),
        ("for at in v:\n    X[at] = 1\nreturn sum(X)", WRITES),
        ("X.seek(8 * slot)\nX.write(v)\nX.seek(8 * slot)\nreturn X.read(8)", WRITES),
        ("X.value = 1\nwork()\nreturn X.value", WRITES),  # whoever writes it, it is 1
        ("X.value = 1\nwork()\nX.value = 0\nreturn X.value", SCRATCH),
        ("X[0] = v\nreturn X[1] + sum(X[2:4])", WRITES),  # these are others
        ("X[0] = 1.0\nX[v] = v\nreturn X[v]", WRITES),
        ("for at in range(8):\n    X[at] = v\nreturn sum(X[at] for at in range(8))", SCRATCH),
        ("X[:4] = v\nreturn X[2:8]", SCRATCH),
        ("X.last = v\nreturn X.rate", WRITES),
        ("X[v] = v\nreturn X[v]", WRITES),  # a place of its own, maybe
        ("X[os.getpid() % 8] = v\nreturn X[os.getpid() % 8]", WRITES),
        ("X[0] += v\nreturn X[0]", WRITES),  # a counter
        ("if not X[0]:\n    X[0] = load()\nreturn X[0]", WRITES),  # a cache
        ("X[0] = v", WRITES),
        ("with LOCK:\n    X[0] = v\n    return X[0]", None),
        ("LOCK.acquire()\nX[0] = v\nreturn X[0]", None),
        ("return X[0]", None),
        ("Y[0] = X[0]\nreturn Y[0]", None),
        ("row = X[0].copy()\nrow[0] = v\nreturn row", None),
        ("self.X = v\nreturn self.X", None),
    ],
)
def test_a_function_writes_where_another_one_does_too(body: str, expected: written.Use | None) -> None:
    function = ast.parse("def run(v):\n" + textwrap.indent(body, "    ")).body[0]
    assert written.of_function(function, "X") is expected


HELD = """
ONE = mp.Semaphore(1)

class Turn:
    def __enter__(self):
        ONE.acquire()

TURN = Turn()

def alone(function):
    return function

@contextmanager
def turn():
    with ONE:
        yield

def fill(v):
    X[0] = v
    return X[0]
"""
CALLERS = {
    "def run(v):\n    with ONE:\n        return fill(v)": WRITES,
    "def run(v):\n    with turn():\n        return fill(v)": WRITES,
    "def run(v):\n    with ONE:\n        return step(v)\n\ndef step(v):\n    return fill(v)": WRITES,
    "def run(v):\n    with TURN:\n        return fill(v)": WRITES,
    "def run(v):\n    with Turn():\n        return fill(v)": WRITES,
    "def run(v):\n    with open(v):\n        return fill(v)": SCRATCH,
    "def run(v):\n    return fill(v)": SCRATCH,
}


def use(path: Path, source: str, name: str) -> written.Use | None:
    path.write_text(source)
    line = next(each.lineno for each in ast.walk(ast.parse(source)) if isinstance(each, ast.FunctionDef) and each.name == name)
    return written.use((str(path), line, name), "X")


@pytest.mark.parametrize("callers", CALLERS)
def test_who_calls_it_holds_the_lock(callers: str, tmp_path: Path) -> None:
    assert use(tmp_path / "shop.py", f"{HELD}\n{callers}\n", "fill") is CALLERS[callers]


@pytest.mark.parametrize(
    ("head", "expected"), [("@alone\n", WRITES), ("@app.task(bind=True)\n", SCRATCH), ("@app.task\n@turns.one\n", WRITES)]
)
def test_a_decorator_may_hold_the_lock(head: str, expected: written.Use, tmp_path: Path) -> None:
    source = f"{HELD}\n{head}def run(v):\n    X[0] = v\n    return X[0]\n"
    assert use(tmp_path / "shop.py", source, "run") is expected


def test_a_semaphore_is_known_by_what_made_it(tmp_path: Path) -> None:
    source = f"{HELD}\ndef run(v):\n    with ONE:\n        X[0] = v\n        return X[0]\n"
    assert use(tmp_path / "shop.py", source, "run") is None


def test_a_lock_that_its_module_does_not_take_may_be_for_who_calls(tmp_path: Path) -> None:
    source = "ONE = mp.Lock()\n\ndef fill(v):\n    X[0] = v\n    return X[0]\n"
    assert use(tmp_path / "shop.py", source, "fill") is WRITES
    assert use(tmp_path / "other.py", source + "\ndef other():\n    with ONE:\n        pass\n", "fill") is SCRATCH
