"""Which object of somebody's own modules a blocked thread's stack leads through."""

from __future__ import annotations

import textwrap

import pytest

from harness.applications.probe.implicated import implicated

CLIENTS = """
    import threading

    class Encoder:
        def __init__(self):
            self.lock = threading.Lock()

        def encode(self, x):
            with self.lock:
                return x
    """
TASKS = """
    from celery import Celery
    from clients import Encoder, Session
    import models
    import shop.rules
    from shop.index import INDEX as found

    app = Celery("tasks")
    LIMIT = 3
    HTTP = Session()
    ENCODER = Encoder()
    VECTORS, TREE = built()

    def encode(x):
        return ENCODER.encode(HTTP.get(x))

    def near(x):
        return TREE.search(VECTORS[x : x + LIMIT])

    def ask(x):
        return models.MODEL.predict(x)

    def look(x):
        return found.search(
            x
        )

    def held(x):
        return Registry.index.look(HTTP.get(x))

    def sent(x):
        return lib.send(app.conf.x)

    def plain(x):
        return x.encode()
    """
SOURCES = {
    "clients.py": CLIENTS,
    "tasks.py": TASKS,
    "models.py": "MODEL = load()\n",
    "shop/index.py": "INDEX = make()\n",
    "shop/rules.py": "RULES = {}\n",
    "broken.py": "this is no python",
}
CALL = ("sem_wait (libc.so.6)", "acquire (threading.py:100)")


def line_of(text: str) -> int:
    return 1 + next(number for number, line in enumerate(textwrap.dedent(TASKS).splitlines()) if text in line)


def found(*frames: str) -> dict[str, set[str]]:
    sources = {path: textwrap.dedent(text) for path, text in SOURCES.items()}
    return {path: set(names) for path, names in implicated(sources, [*CALL, *frames]).items()}


@pytest.mark.parametrize(
    ("inner", "line", "names"),
    [
        ("Encoder.encode (clients.py:9)", "ENCODER.encode", {"tasks.py": {"ENCODER"}}),
        ("Session.get (http/session.py:9)", "ENCODER.encode", {"tasks.py": {"HTTP"}}),
        ("replacement_search (faiss/wrappers.py:9)", "TREE.search", {"tasks.py": {"TREE"}}),
        ("search (faiss/wrappers.py:9)", "TREE.search", {"tasks.py": {"TREE"}}),
        ("predict (keras/model.py:9)", "models.MODEL", {"models.py": {"MODEL"}}),
        ("search (faiss/wrappers.py:9)", "found.search", {"shop/index.py": {"INDEX"}}),
        ("encode (codecs.py:9)", "x.encode()", {}),
        ("wrapped (faiss/wrappers.py:9)", "TREE.search", {"tasks.py": {"TREE"}}),
        ("wrapped (http/session.py:9)", "ENCODER.encode", {}),  # two objects are called on: either may be meant
        ("look (registry.py:9)", "Registry.index.look", {}),
        ("send (lib.py:9)", "lib.send", {}),
    ],
)
def test_the_object_is_the_one_whose_call_leads_on(inner: str, line: str, names: dict[str, set[str]]) -> None:
    assert found(inner, f"task (tasks.py:{line_of(line)})", "trace_task (celery/app/trace.py:5)") == names


def test_a_librarys_module_is_not_taken_for_one_of_the_application() -> None:
    line = line_of("ENCODER.encode")
    assert found("Encoder.encode (clients.py:9)", f"encode (library/tasks.py:{line})") == {}
    two = {"a/tasks.py": "X = f()\nX.y()\n", "b/tasks.py": "X = f()\nX.y()\n"}
    assert implicated(two, ["y (lib.py:1)", "task (tasks.py:2)"]) == {}
    assert implicated(two, ["y (lib.py:1)", "task (a/tasks.py:2)"]) == {"a/tasks.py": frozenset({"X"})}


def test_a_stack_outside_of_the_application_leads_through_nothing() -> None:
    assert found("trace_task (celery/app/trace.py:5)") == {}
    assert implicated({}, CALL) == {}
    assert implicated({"tasks.py": "X = f()\n"}, ()) == {}


def test_the_outer_frame_decides_if_the_inner_one_asks_no_object_of_a_module() -> None:
    frames = ("Encoder.encode (clients.py:9)", f"encode (tasks.py:{line_of('ENCODER.encode')})")
    assert found(*frames) == {"tasks.py": {"ENCODER"}}


def test_an_object_that_a_block_makes_is_known_and_not_what_a_script_alone_makes() -> None:
    text = textwrap.dedent("""
        try:
            if FAST:
                model = load("m")
        except OSError:
            spare = load("n")
        if __name__ == "__main__":
            other = load("o")

        def predict(row):
            return model.predict(row)

        def second(row):
            return spare.predict(row)

        def third(row):
            return other.predict(row)
        """)
    found = [implicated({"tasks.py": text}, ["predict (lib/x.py:1)", f"any (tasks.py:{line})"]) for line in (11, 14, 17)]
    assert found == [{"tasks.py": frozenset({"model"})}, {"tasks.py": frozenset({"spare"})}, {}]
