"""The change of code that lets prefork work: what is found in a source, and what the diff makes of it."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

import pytest

from harness.applications.probe import code_change
from harness.applications.probe.implicated import implicated

LOADED = "model = load_model('m')\n"
READY = "class Shop(AppConfig):\n    def ready(self):\n        load_model('m')\n"
PROJECTS = Path(__file__).parent / "probe_projects"


def proposed(**sources: str) -> list[code_change.Change]:
    texts = {f"{name}.py": textwrap.dedent(text) for name, text in sources.items()}
    return code_change.propose(texts, dict.fromkeys(texts, frozenset({"model"})))


def patched(folder: Path, text: str, diff: str) -> str:
    (folder / "tasks.py").write_text(text)
    subprocess.run(["patch", "-p1"], cwd=folder, input=diff, text=True, check=True, capture_output=True)
    return (folder / "tasks.py").read_text()


def test_what_depends_on_the_model_moves_with_it_and_its_users_load(tmp_path: Path) -> None:
    text = textwrap.dedent('''
        """A module."""
        import keras
        import tensorflow as tf
        from celery import shared_task

        LIMIT = 3
        model = keras.models.load_model(
            "model.h5",
        )
        model._make_predict_function()
        OTHER = LIMIT + 1
        graph = tf.get_default_graph()


        @shared_task
        def predict(rows):
            """Ask the model."""
            with graph.as_default():
                return model.predict(rows).tolist()


        @shared_task
        def add(a, b):
            return a + b
        ''')
    (change,) = proposed(tasks=text)
    assert (change.file, change.why_not) == ("tasks.py", "")
    assert change.statement.startswith("model = keras.models.load_model(")
    new = patched(tmp_path, text, change.diff)
    compile(new, "tasks.py", "exec")
    begin, end = new.index("def load_in_this_process"), new.index("OTHER =")
    inside = new[begin:end]
    assert "model._make_predict_function()" in inside
    assert "graph = tf.get_default_graph()" in inside
    assert new.count("load_model(") == 1
    asking = new[new.index("def predict") :]
    assert asking.index('"""Ask the model."""') < asking.index("load_in_this_process()") < asking.index("with graph")
    assert "load_in_this_process" not in new[new.index("def add") :]


def test_the_changed_module_loads_once_and_at_the_first_call(tmp_path: Path) -> None:
    text = textwrap.dedent("""
        calls = []
        def load_model(name):
            calls.append(name)
            return name.upper()

        model = load_model("m")
        length = len(model)

        def predict(row):
            return model, length, row
        """)
    (change,) = proposed(tasks=text)
    found: dict[str, object] = {}
    exec(compile(patched(tmp_path, text, change.diff), "tasks.py", "exec"), found)
    assert found["calls"] == []
    predict = found["predict"]
    assert callable(predict)
    assert [predict(1), predict(2)] == [("M", 1, 1), ("M", 1, 2)]
    assert found["calls"] == ["m"]


def test_the_variable_of_a_comprehension_is_no_name_of_the_module(tmp_path: Path) -> None:
    text = textwrap.dedent("""
        calls = []
        def load_model(name):
            calls.append(name)
            return [1, 2]

        model = load_model("m")
        sizes = [weight + 1 for weight in model]

        def predict():
            return sizes
        """)
    (change,) = proposed(tasks=text)
    found: dict[str, object] = {}
    exec(compile(patched(tmp_path, text, change.diff), "tasks.py", "exec"), found)
    predict = found["predict"]
    assert callable(predict)
    assert [predict(), predict()] == [[2, 3], [2, 3]]
    assert found["calls"] == ["m"]
    assert "weight" not in found


def test_a_load_inside_a_function_of_another_module_is_found() -> None:
    (change,) = proposed(
        ml="""
        def best():
            from keras.models import load_model
            return load_model("m")
        """,
        tasks="""
        from ml import best
        model = best()
        def predict(row):
            return model.predict(row)
        """,
    )
    assert (change.file, change.line, change.statement) == ("tasks.py", 3, "model = best()")
    assert change.diff


def test_what_loads_in_a_block_moves_with_the_block_and_with_what_loads_alike(tmp_path: Path) -> None:
    text = textwrap.dedent("""
        import joblib
        words = joblib.load("w")
        limits = json.load("l")
        try:
            model = joblib.load("m")
        except OSError as error:
            print(error)
            model = None

        def predict(row):
            return model, words, row
        """)
    (change,) = proposed(tasks=text)
    assert (change.line, change.statement) == (6, "model = joblib.load('m')")
    assert change.moved == ((3, 3), (5, 9))
    new = patched(tmp_path, text, change.diff)
    assert "\nlimits = json.load" in new, "it is no model"


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ({"ml": f"{LOADED}def f():\n    return model\n", "tasks": "from ml import model\n"}, "tasks.py uses model from here"),
        ({"ml": f"{LOADED}def f(): return model\n"}, "the line of its 'def'"),
        ({"ml": LOADED}, "no function"),
        ({"ml": f"{LOADED}def f():\n    return model\n", "tasks": "from ml import *\n"}, "tasks.py imports * from here"),
        ({"ml": f"{LOADED}def f():\n    return model\n", "tasks": "import ml\nml.model\n"}, "tasks.py uses model from here"),
        ({"ml": f"{LOADED}def f(x=model):\n    return model\n"}, "a decorator or a class reads model"),
        ({"ml": "model: object = load_model('m')\ndef f():\n    return model\n"}, "no valid Python"),
        ({"ml": f"{LOADED}def f():\n    return model\ndef warm():\n    return f()\nwarm()\n"}, "warm uses it in the main"),
        ({"ml": f"{LOADED}@worker_init.connect\ndef f(**_):\n    return model\n"}, "f uses it in the main"),
        ({"ml": f"{LOADED}app.conf.plan = model.plan()\ndef f():\n    return model\n"}, "changes another object"),
        ({"ml": "model = load_model('''a\nb''')\ndef f():\n    return model\n"}, "spans several lines"),
        ({"ml": f"try:\n    import joblib\n    {LOADED}finally:\n    pass\ndef f():\n    return model\n"}, "joblib, too"),
        ({"ml": f"if FAST:\n    {LOADED}    def g(): ...\ndef f():\n    return model\n"}, "defines g, too"),
        ({"ml": f"if FAST:\n    {LOADED}    app.conf.fast = 1\ndef f():\n    return model\n"}, "changes another object"),
        ({"ml": f"{LOADED}def f():\n    return model\n", "web": "OTHER = load_model('n')\n"}, "web.py, line 1, calls"),
        ({"ml": f"{LOADED}def f():\n    return model\n", "apps": READY}, "apps.py, line 3, calls load_model in"),
    ],
)  # fmt: skip
def test_where_no_diff_can_be_made_the_reason_is_said(sources: dict[str, str], why: str) -> None:
    (change,) = proposed(**sources)
    assert change.diff == ""
    assert why in change.why_not


def test_what_is_loaded_may_ask_for_it_again_and_a_load_that_fails_is_tried_again(tmp_path: Path) -> None:
    text = textwrap.dedent("""
        calls = []
        def load_model(name):
            calls.append(name)
            if len(calls) == 1:
                raise OSError("not yet")
            return name.upper()

        model = load_model("m")

        def raw():
            return model

        length = len(raw() + model)

        def predict(row):
            return raw(), length, row
        """)
    (change,) = proposed(tasks=text)
    found: dict[str, object] = {}
    exec(compile(patched(tmp_path, text, change.diff), "tasks.py", "exec"), found)
    predict = found["predict"]
    assert callable(predict)
    with pytest.raises(OSError, match="not yet"):
        predict(1)
    assert predict(1) == ("M", 2, 1)
    assert found["calls"] == ["m", "m"]


@pytest.mark.parametrize(
    "text",
    [
        "def predict(row):\n    return load_model('m').predict(row)\n",  # at the first task already
        "class Model:\n    def __init__(self):\n        self.net = Sequential()\n",
        "import json\nlimits = json.load(open('x'))\n",
        "this is no python",
    ],
)
def test_what_loads_nothing_at_import_is_left_alone(text: str) -> None:
    assert proposed(tasks=text) == []


def test_the_modules_of_the_test_projects_are_understood() -> None:
    for name in ("forking/tasks.py", "django_site/digits/tasks.py"):
        (change,) = code_change.propose({name: (PROJECTS / name).read_text()}, {name: frozenset({"model"})})
        assert change.statement.startswith("model = load_model(")
        assert change.diff


BETWEEN = """import threading
READY = threading.Event()
def fetch():
    READY.set()
loader = threading.Thread(target=fetch, daemon=True)
loader.start()
def predict(x):
    READY.wait(8)
"""


def test_what_threads_tell_each_other_by_is_not_moved_but_the_thread_is_named() -> None:
    frames = ("Condition.wait (threading.py:327)", "Event.wait (threading.py:629)", "predict (tasks.py:8)")
    sources = {"tasks.py": BETWEEN, "other.py": "import threading\nfor _ in range(2):\n    threading.Timer(1, print).start()\n"}
    assert implicated(sources, frames) == {}
    first, second = code_change.by_hand(sources)
    assert (first.file, first.line, first.statement, first.diff) == ("tasks.py", 6, "loader.start()", "")
    assert (second.file, second.line) == ("other.py", 2)
    assert first.why_not == "a function that the first task of each process calls has to start it"
    assert code_change.by_hand({"tasks.py": "import pool\npool.start()\ndef f():\n    Thread().start()\n"}) == []
