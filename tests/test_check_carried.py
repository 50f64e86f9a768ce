"""What children have of generators of random numbers, and of files that are locked, from before the fork."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.applications.check import calls, lost
from harness.applications.check.finding import Level
from harness.worker import carried_files, generators, own_files, reached, shared_objects
from tests.test_check_answer import CHILDREN, looked, row, side, sides
from tests.test_fork_look import imported, reach

DICE = """
import random
import numpy
from numpy import random as dice
from numpy.random import rand
from random import SystemRandom

OWN, SURE, LATER = random.Random(7), SystemRandom(), random.Random(8)
MADE, OLD = numpy.random.default_rng(7), numpy.random.RandomState(7)


def pythons():
    return random.random() + random.randint(1, 6)


def numpys():
    return numpy.random.randint(6)


def by_another_name():
    return dice.normal()


def of_another():
    return numpy.random.default_rng(3).uniform() + numpy.random.RandomState(3).rand()


def imported_alone():
    return rand()


def own():
    return OWN.random()


def sure():
    return SURE.random()


def made():
    return MADE.integers(6)


def old():
    return OLD.randint(6)


def seeded(x):
    LATER.seed(x)
    return LATER.random()


def numpys_seeded(x):
    numpy.random.seed(x)
    return numpy.random.rand()
"""


@pytest.mark.parametrize(
    ("task", "label"),
    [
        ("pythons", ""), ("numpys", "numpy.random"), ("own", "shop_of_dice.OWN"), ("sure", ""), ("made", "shop_of_dice.MADE"),
        ("old", "shop_of_dice.OLD"), ("seeded", ""), ("by_another_name", "numpy.random"),
        ("of_another", ""), ("imported_alone", "numpy.random"), ("numpys_seeded", ""),
    ],
)  # fmt: skip
def test_a_generator_that_no_child_seeds_is_copied(tmp_path: Path, task: str, label: str) -> None:
    path = tmp_path / "shop_of_dice.py"
    path.write_text(DICE)
    with imported(path) as shop:
        first = reached.Reach(own_files.Own({str(tmp_path)}))
        found = generators.copied(reach(shop, task), first)
        assert [(one, [place[2] for place in users]) for one, users in found] == ([(label, [task])] if label else [])
        first.add(shop.seeded, "worker_process_init")
        assert generators.copied(reach(shop, task), first) == []


LOCKED = """
import fcntl
import os

LOCK = open(__file__)
NUMBER = os.open(__file__, os.O_RDONLY)


def locks():
    fcntl.flock(LOCK, fcntl.LOCK_EX)


def by_number():
    fcntl.flock(NUMBER, fcntl.LOCK_EX)


def held(file):
    fcntl.flock(file, fcntl.LOCK_EX)


def by_another():
    held(LOCK)


def for_the_process():
    fcntl.lockf(LOCK, fcntl.LOCK_SH)


def its_own():
    with open(__file__) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
"""


@pytest.mark.parametrize(
    ("task", "labels"),
    [("locks", ["LOCK"]), ("by_number", ["NUMBER"]), ("by_another", ["LOCK"]), ("for_the_process", []), ("its_own", [])],
)
def test_a_file_that_is_locked_by_flock_is_told(tmp_path: Path, task: str, labels: list[str]) -> None:
    path = tmp_path / "shop_of_locks.py"
    path.write_text(LOCKED)
    with imported(path) as shop:
        found = carried_files.locked(reach(shop, task))
        shop.LOCK.close()
        shop.os.close(shop.NUMBER)
    expected = [(f"shop_of_locks.{label}", str(path), [task]) for label in labels]
    assert [(label, file, [one[2] for one in users]) for label, file, users in found] == expected


def test_the_lock_of_a_file_from_before_the_fork_keeps_no_child_out(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text("LOCK = open(THERE)\n\ndef predict(x):\n    flock(LOCK)\n")
    there = str(tmp_path / "there.lock")
    told: dict[str, Any] = {"locking": [["shop.LOCK", there, [[str(path), 3, "predict"]]]]}
    (found,) = lost.found(looked(**told, files=[there]), tmp_path)
    assert (found.rule, found.level, found.place) == ("shared-file", Level.WARNING, "shop.py:1")
    assert lost.found(looked(**told), tmp_path) == [], "open since before the application"
    assert lost.found(looked(**told, files=[there], anew=["shop.LOCK"]), tmp_path) == []


def test_a_copied_generator_is_a_warning_unless_a_fork_seeds_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text("DICE = make()\n\ndef predict(x):\n    return DICE.random()\n")
    told: dict[str, Any] = {"generators": [["shop.DICE", [[str(path), 3, "predict"]]]]}
    (found,) = lost.found(looked(**told), tmp_path)
    assert (found.rule, found.level, found.place) == ("copied-generator", Level.WARNING, "shop.py:1")
    assert lost.found(looked(**told, at_fork=[["after_in_child", "RandomState.seed", ["", 0]]]), tmp_path) == []


@pytest.mark.parametrize(
    ("alone", "children", "said"),
    [([1, 2], [1, 1], True), ([1, 1], [1, 1], False), ([1, 2], [1, 3], False), ([1], [1, 1], False)],
)
def test_children_that_answer_alike_where_calls_differ_are_told(alone: list[int], children: list[int], said: bool) -> None:
    both = sides([row(one) for one in alone], [])
    for number in range(CHILDREN):
        both.children[number] = side(rows=[row(children[number])], ended=True)
    assert bool(calls.repeated(both)) == said


CHANNELS = """
import multiprocessing
import queue
from multiprocessing import Pipe

INBOX, OUTBOX, OWN = multiprocessing.Queue(), multiprocessing.SimpleQueue(), queue.Queue()
HERE, THERE = Pipe()
LOCK = multiprocessing.Lock()
BOXES, FREE = [multiprocessing.Queue()], multiprocessing.Queue()


def chooses(x):
    INBOX.put(x)
    return BOXES[x].get()


def the_first(x):
    INBOX.put(x)
    return BOXES[0].get()


def within(x):
    INBOX.put(x)
    return OUTBOX.get()


def by_turns(x):
    with LOCK:
        return within(x)


def takes_one(x):
    INBOX.put(x)
    return FREE.get()


def gives_back(x):
    FREE.put(takes_one(x))


def asks(x):
    INBOX.put(x)
    return OUTBOX.get()


def takes():
    return INBOX.get(timeout=3)


def gives(x):
    INBOX.put(x)


def by_pipe(x):
    HERE.send(x)
    return HERE.recv()


def in_turn(x):
    with LOCK:
        HERE.send(x)
        return HERE.recv()


def token():
    mine = INBOX.get()
    INBOX.put(mine)
    return mine


def works():
    job = INBOX.get()
    OUTBOX.put(job * 2)


def its_own(x):
    OWN.put(x)
    return OWN.get()
"""


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("asks", [("OUTBOX", Level.ERROR)]), ("takes", [("INBOX", Level.WARNING)]), ("gives", []),
        ("by_pipe", [("HERE", Level.ERROR)]), ("in_turn", [("HERE", Level.WARNING)]), ("its_own", []), ("token", []),
        ("works", [("INBOX", Level.WARNING)]), ("chooses", [("BOXES", Level.WARNING)]),
        ("the_first", [("BOXES", Level.ERROR)]), ("by_turns", [("OUTBOX", Level.WARNING)]),
        ("gives_back", [("FREE", Level.WARNING)]), ("takes_one", [("FREE", Level.ERROR)]),
    ],
)  # fmt: skip
def test_what_one_child_takes_from_a_queue_or_pipe_no_other_gets(
    tmp_path: Path, task: str, expected: list[tuple[str, Level]]
) -> None:
    path = tmp_path / "shop_of_channels.py"
    path.write_text(CHANNELS)
    with imported(path) as shop:
        found = carried_files.channels(reach(shop, task))
        told = lost.found({**looked(), "channels": found}, tmp_path)
        for each in (shop.INBOX, shop.OUTBOX, shop.HERE, shop.THERE, shop.FREE, *shop.BOXES):
            each.close()
    assert [(one.rule, one.level) for one in told] == [("shared-connection", level) for _, level in expected]
    assert all(
        f"shop_of_channels.{label} of multiprocessing" in one.what for (label, _), one in zip(expected, told, strict=True)
    )


FUTURES = """
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from threading import Event

GATE = Event()
POOL = ThreadPoolExecutor(1)
MODELS = {"a": POOL.submit(GATE.wait)}
DONE, OTHER = Future(), Future()
DONE.set_result(1)
KEPT = [OTHER.set_result]
KNOWN = LAZY = None


def waits():
    return MODELS["a"].result()


def waits_a_little():
    return MODELS["a"].result(timeout=0.5)


def asks():
    return MODELS["a"].done()


def asks_first():
    return MODELS["a"].result() if MODELS["a"].done() else 2


def asks_in_short():
    return MODELS["a"].done() and MODELS["a"].result()


def gathers():
    return [each.result() for each in as_completed(MODELS.values())]


def has_the_first():
    for each in as_completed(MODELS.values()):
        return each.result()


def waits_for_all():
    return wait(MODELS.values())


def waits_for_all_a_little():
    return wait(MODELS.values(), timeout=1)


def waits_for_some():
    return wait(MODELS.values(), return_when=FIRST_COMPLETED)


def set_before():
    global KNOWN
    if KNOWN is None:
        KNOWN = MODELS["a"].result()


def in_each_child():
    global KNOWN
    KNOWN = 2


def lazy():
    global LAZY
    if LAZY is None:
        LAZY = MODELS["a"].result()


def done():
    return DONE.result()


def ended_by_another():
    return OTHER.result()
"""


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("waits", [Level.ERROR]), ("waits_a_little", [Level.WARNING]), ("asks", [Level.WARNING]), ("done", []),
        ("asks_first", [Level.WARNING]), ("asks_in_short", [Level.WARNING]),
        ("gathers", [Level.ERROR]), ("waits_for_all", [Level.ERROR]), ("waits_for_all_a_little", [Level.WARNING]),
        ("waits_for_some", [Level.WARNING]), ("has_the_first", [Level.WARNING]),
        ("set_before", [Level.WARNING]), ("lazy", [Level.ERROR]),
        ("ended_by_another", [Level.WARNING]),
    ],
)  # fmt: skip
def test_work_that_was_begun_before_the_fork_is_ended_in_no_child(tmp_path: Path, task: str, expected: list[Level]) -> None:
    path = tmp_path / "shop_of_futures.py"
    path.write_text(FUTURES)
    with imported(path) as shop:
        found = shared_objects.futures(reach(shop, task), [])
        told = lost.found({**looked(), "futures": found}, tmp_path)
        shop.GATE.set()
        shop.POOL.shutdown()
    assert [(one.rule, one.level) for one in told] == [("lost-pool", level) for level in expected]
