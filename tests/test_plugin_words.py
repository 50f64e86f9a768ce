"""Wrong words of a marker: one message each, and none of our frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.applications import marker
from harness.errors import BadInput
from harness.places import CHECKOUT
from harness.pytest_plugin import checked_limits

SHOP = {"app": "shop:app", "task": "shop.price", "args": [[3]]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"poool": "solo"}, "the marker harness_app knows no poool"),
        ({"app": 3}, "app=3 is not a text"),
        ({"args": 3}, "args=3 is not a list or a file"),
        ({"pool": ["prefork"]}, r"pool=\['prefork'\] is not a text"),
        ({"concurrency": "2"}, "concurrency='2' is not a number of executors"),
        ({"concurrency": True}, "concurrency=True is not a number of executors"),
        ({"tolerance": "1 %"}, "tolerance='1 %' is not a share"),
        ({"cwd": 3}, "cwd=3 is not a path"),
        ({"pool": "prefok"}, "there is no pool 'prefok'"),
        ({"pool": "prefork,threads"}, "describes 2 cells, not one"),
        ({"args": [[object()]]}, "args cannot be written as JSON"),
        ({"args": [1, 2]}, "row 1 is neither a list nor an object"),
        ({"args": "none.json"}, "none.json: No such file"),
        ({"mix": "day.toml"}, "--mix names tasks and arguments, and so does --task"),
        ({"mix": [{}]}, "is not a file"),
        ({"measure_s": "long"}, "measure_s: Input should be a valid number"),
    ],
)
def test_a_wrong_word_is_told_as_what_it_is(words: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said) as raised:
        marker.read({**SHOP, **words}, tmp_path / "run", tmp_path)
    assert raised.value.remedy


def test_what_is_lacking_is_named_and_what_is_usual_is_taken(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs task, args"):
        marker.checked({"app": "shop:app"})
    order, cell = marker.read({**SHOP, "measure_s": 0.5}, tmp_path / "run", tmp_path)
    assert (cell.pool, cell.concurrency, order.rows, order.settings.measure_s) == ("prefork", 2, [[3]], 0.5)


def test_a_worker_s_own_line_names_application_pool_and_number(tmp_path: Path) -> None:
    words = {"task": "shop.price", "args": [[3]], "worker": "MODE=fast celery -A shop worker -P threads -c 3"}
    order, cell = marker.read(words, tmp_path / "run", tmp_path)
    assert (order.app, cell.pool, cell.concurrency, order.own["MODE"]) == ("shop", "threads", 3, "fast")
    order, cell = marker.read({**words, "pool": "solo"}, tmp_path / "run", tmp_path)
    assert (cell.pool, cell.concurrency) == ("solo", 1)


def test_the_line_s_interpreter_and_folder_are_taken_unless_the_marker_names_them(tmp_path: Path) -> None:
    (tmp_path / "src" / "bin").mkdir(parents=True)
    python = tmp_path / "src" / "bin" / "python"
    python.symlink_to(sys.executable)
    words = {"task": "shop.price", "args": [[3]], "worker": "cd src && bin/celery -A shop worker"}
    order, _ = marker.read(words, tmp_path / "run", tmp_path)
    assert (order.python, order.folder) == (python, tmp_path / "src")
    order, _ = marker.read({**words, "cwd": ".", "python": sys.executable}, tmp_path / "run", tmp_path)
    assert (order.python, order.folder) == (Path(sys.executable), tmp_path)
    order, _ = marker.read({**words, "worker": "python -m celery -A shop worker"}, tmp_path / "run", tmp_path)
    assert (order.python, order.folder) == (Path(sys.executable), tmp_path)


def test_a_mix_of_tasks_is_held_to_limits_as_one_task_is(tmp_path: Path) -> None:
    (tmp_path / "day.toml").write_text('[[task]]\nname = "shop.price"\nargs = [[3]]\n[[task]]\nname = "shop.scan"\n')
    order, cell = marker.read({"app": "shop:app", "mix": "day.toml", "pool": "threads"}, tmp_path / "run", tmp_path)
    assert (order.tasks, order.rows, cell.pool) == (("shop.price", "shop.scan"), [[3], []], "threads")
    with pytest.raises(BadInput, match="needs app"):
        marker.checked({"mix": "day.toml"})


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_p50": 1}, "knows no max_p50"),
        ({"max_p95_s": "0.2"}, "'0.2' is no number"),
        ({"outcome": "okay"}, "no outcome 'okay'"),
    ],
)
def test_a_wrong_limit_is_told_before_anything_is_measured(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        checked_limits(limits)


TESTS = """
import pytest

@pytest.mark.harness_app(app="shop:app", task="shop.price", args=[1, 2])
def test_rows(harness_app): ...

@pytest.mark.harness_app("shop:app")
def test_places(harness_app): ...

def test_none(harness_cell): ...

@pytest.mark.harness_cell(backend="nothing", pool="prefork")
def test_backend(harness_cell): ...
"""


def test_none_of_our_frames_is_shown(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    argv = [sys.executable, "-m", "pytest", "-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "test_it.py"]
    variables = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    told = subprocess.run(argv, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120, check=False).stdout
    assert "4 errors" in told, told
    for said in (
        "harness_app: --args",
        "by name, and not 'shop:app'",
        "test_none has no such marker",
        "unknown backend 'nothing'",
    ):
        assert said in told, told
    assert "pytest_plugin.py" not in told
    assert "During handling" not in told
