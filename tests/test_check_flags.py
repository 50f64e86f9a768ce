"""What a thread was to set, wherever it is kept: which loops of tasks ask for it for ever, and which tasks raise without it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from harness.applications.check import polling, unset
from harness.applications.check.lost import words
from harness.worker import fork_look, holders, own_files, polled, shared_objects
from tests.test_fork_look import imported, reach

HEAD = "import threading\nimport time\nfrom functools import cached_property, lru_cache\nfrom types import SimpleNamespace\n"

CLASS = """
class Model:
    ready = False

    @classmethod
    def load(cls):
        cls.ready = True

THREAD = threading.Thread(target=Model.load)

def task(x):
    while not Model.ready:
        time.sleep(0.05)
"""
CLASS_BY_FUNCTION = """
class Model:
    ready = False

def load():
    Model.ready = True

THREAD = threading.Thread(target=load)

def task(x):
    while not Model.ready:
        time.sleep(0.05)
"""
INSTANCE = """
class State:
    def __init__(self):
        self.model = None

STATE = State()

def load():
    STATE.model = 1

THREAD = threading.Thread(target=load)
"""
GIVEN = """
STATE = SimpleNamespace(model=None)

def load(where):
    where.model = 1

THREAD = threading.Thread(target=load, args=(STATE,))
"""
LOOP = """
    while STATE.model is None:
        time.sleep(0.05)
"""
CLOSURE = """
def make():
    state = {"ready": False}

    def load():
        state["ready"] = True

    def get():
        while not state["ready"]:
            time.sleep(0.05)
        return state["weights"]

    return get, threading.Thread(target=load)

GET, THREAD = make()

def task(x):
    return GET()
"""
PROPERTY = """
class Model:
    def __init__(self):
        self._weights = None

    def load(self):
        self._weights = [1]

    @property
    def weights(self):
        while self._weights is None:
            time.sleep(0.05)
        return self._weights

MODEL = Model()
THREAD = threading.Thread(target=MODEL.load)

def task(x):
    return sum(MODEL.weights)
"""
REGISTRY = """
class Registry:
    def __init__(self):
        self.models = {}

    def fill(self):
        self.models["m"] = [1]

    def get(self, name, timeout=None):
        began = time.monotonic()
        while name not in self.models:
            if timeout and time.monotonic() - began > timeout:
                raise TimeoutError(name)
            time.sleep(0.05)
        return self.models[name]

REGISTRY = Registry()
THREAD = threading.Thread(target=REGISTRY.fill)

def task(x):
    return sum(REGISTRY.get("m"))
"""
TASK = "\ndef task(x):\n"


@pytest.mark.parametrize(
    "text",
    [
        CLASS, CLASS_BY_FUNCTION, INSTANCE + TASK + LOOP, GIVEN + TASK + LOOP, CLOSURE, PROPERTY, REGISTRY,
        PROPERTY.replace("@property", "@cached_property"),
    ],
)  # fmt: skip
def test_a_loop_is_endless_wherever_the_flag_is_kept(text: str, tmp_path: Path) -> None:
    assert endless(text, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        CLASS.replace("Model.ready:", "Model.ready and x:"),
        CLASS + "\ndef other():\n    Model.ready = True\n",
        CLASS.replace("    while not", "    Model.ready = Model.ready or x\n    while not"),
        INSTANCE + TASK + "    load()" + LOOP,
        INSTANCE + TASK + "    if STATE.model is None:\n        load()" + LOOP,
        INSTANCE + TASK + "    if STATE.model is None:\n        threading.Thread(target=load).start()" + LOOP,
        INSTANCE + "\n@lru_cache\ndef once():\n    load()\n" + TASK + "    once()" + LOOP,
        INSTANCE + TASK + "    tries = 0\n    while STATE.model is None and tries < 5:\n        tries += 1\n",
        INSTANCE + "\ndef other(job):\n    setattr(job, 'model', 1)\n" + TASK + LOOP,
        CLOSURE.replace('return state["weights"]', "return state"),
        CLOSURE.replace("    return get,", "    make.put = lambda: state.update(ready=True)\n    return get,"),
        PROPERTY + "\n\ndef other():\n    MODEL._weights = [2]\n",
        REGISTRY.replace('get("m")', 'get("m", timeout=3)'),
        REGISTRY.replace('get("m")', 'get("m", **x)'),
        REGISTRY.replace('get("m")', 'get("m", *x)'),
        REGISTRY + '\ndef other():\n    REGISTRY.models["m"] = [2]\n',
        REGISTRY.replace("return self.models[name]", "return self.models").replace("sum(REGISTRY", "fill(REGISTRY"),
    ],
)
def test_a_loop_that_something_else_may_end_is_not_said_to_be_endless(text: str, tmp_path: Path) -> None:
    assert not endless(text, tmp_path)


SET = """
MODEL, TABLE = None, {}

def load():
    global MODEL
    MODEL = TABLE["a"] = 1

THREAD = threading.Thread(target=load)

class app:
    def task(function):
        return function

@app.task
def task(x):
"""
#: a line of the task -> whether it raises in each child
LINES = {
    "THREAD.join(); return MODEL.predict(x)": True,
    "return sum(MODEL)": True,
    "return TABLE['a'] * x": True,
    "return MODEL(x)": True,
    "return [each for each in MODEL]": True,
    "for each in MODEL: x += each": True,
    "if MODEL is None: raise RuntimeError(x)": True,
    "if not MODEL: raise RuntimeError(x)": True,
    "if x > 3: x += 1\n    return MODEL.predict(x)": True,
    "if x > 3: return 0\n    return MODEL.predict(x)": False,
    "if MODEL is None: return 0\n    return MODEL.predict(x)": False,
    "return MODEL.predict(x) if MODEL else 0": False,
    "return MODEL and MODEL.predict(x)": False,
    "return TABLE.get('a', 0) * x": False,
    "return 0 if 'a' not in TABLE else TABLE['a']": False,
    "try: return MODEL.predict(x)\n    except AttributeError: return 0": False,
    "load(); return MODEL.predict(x)": False,
    "return lambda: MODEL.predict(x)": False,
    "return [MODEL.predict(each) for each in x]": False,
    "raise RuntimeError(x)": False,  # with a thread or without
    "return print(MODEL)": False,
    "return '%s' % MODEL": False,
}


@pytest.mark.parametrize("line", LINES)
def test_a_task_raises_without_what_a_thread_was_to_set(line: str, tmp_path: Path) -> None:
    told = [
        unset.raising(one, words.named(str(one["label"])))
        for one in lost(SET + "    " + line.replace("; ", "\n    "), tmp_path)
    ]
    assert [function for found in told for _, _, function in found] == ["task"] * LINES[line]


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("return MODEL.predict(x)", "def other():\n    global MODEL\n    MODEL = 2\n"),
        ("return get(x) if MODEL else 0", "def get(x):\n    return MODEL.predict(x)\n"),
        ("return get(x) if MODEL else 0", "@lru_cache\ndef get(x):\n    return MODEL.predict(x)\n"),
        (
            "return GET(x) if MODEL else 0",
            "class Get:\n    def __call__(self, x):\n        return MODEL.predict(x)\n\nGET = Get()\n",
        ),
    ],
)
def test_a_task_whose_thing_another_one_sets_or_asks_for_is_not_said_to_raise(task: str, more: str, tmp_path: Path) -> None:
    text = f"{SET}    {task}\n\n{more}"
    assert not any(unset.raising(one, words.named(str(one["label"]))) for one in lost(text, tmp_path))


def test_run_of_a_class_of_tasks_is_what_celery_calls(tmp_path: Path) -> None:
    text = SET.partition("class app")[0] + "class Task:\n    pass\n\nclass Predict(Task):\n    def run(self, x):\n"
    found = lost(f"{text}        return MODEL.predict(x)\n\ntask = Predict().run\n", tmp_path)
    assert any(unset.raising(one, words.named(str(one["label"]))) for one in found)


def endless(text: str, folder: Path) -> bool:
    return any(polling.endless(one, words.named(str(one["label"]))) for one in lost(text, folder))


def lost(text: str, folder: Path) -> list[dict[str, Any]]:
    """What the task and the thread of this module share."""
    path = folder / "flags.py"
    path.write_text(HEAD + text)
    with imported(path) as shop:
        thread: threading.Thread = shop.THREAD
        tasks, theirs = reach(shop, "task"), fork_look.of_thread(thread, own_files.Own([str(folder)]))
        known = polled.functions(tasks.own)
        found: list[dict[str, Any]] = shared_objects.shared(tasks, theirs, known)
        return found + holders.held(tasks, thread, theirs, known) + polled.of_names(tasks, theirs, known)
