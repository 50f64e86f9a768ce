"""Names for files that a module makes once, as it is imported, and tasks that write files by them."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from harness.applications.check import lost
from harness.applications.check.finding import Level
from harness.worker import carried_files
from tests.test_check_answer import looked
from tests.test_fork_look import imported, reach

SHOP = """
import json
import os
import tempfile
import threading
import uuid
from pathlib import Path

LOCK = threading.Lock()
FOLDER = tempfile.mkdtemp()
INPUT = os.path.join(FOLDER, "in.json")
HOME = Path(FOLDER)
PID = "/tmp/%d.json" % os.getpid()
NAME = uuid.uuid4().hex
FIXED = "/tmp/fixed.json"
AGAIN = tempfile.mktemp()


def in_each_child():
    global AGAIN
    AGAIN = tempfile.mktemp()


def task(x):
"""
BODIES = {
    "open(INPUT, 'w').write(x)\nreturn open(INPUT).read()": Level.ERROR,
    "with open(PID, 'w') as file:\n    json.dump(x, file)\nwith open(PID) as file:\n    return json.load(file)": Level.ERROR,
    "path = HOME / 'in.json'\npath.write_text(x)\nreturn path.read_text()": Level.ERROR,
    "path = f'/tmp/{NAME}.json'\nopen(path, 'w').write(x)\nreturn open(path, 'rb').read()": Level.ERROR,
    "path = os.path.join(FOLDER, 'in.json')\nopen(path, mode='w').write(x)\nreturn open(path).read()": Level.ERROR,
    "open(INPUT, 'w').write(x)\nreturn 1": Level.WARNING,
    "if not os.path.exists(INPUT):\n    open(INPUT, 'w').write(load())\nreturn open(INPUT).read()": Level.WARNING,
    "path = os.path.join(FOLDER, x)\nopen(path, 'w').write(x)\nreturn open(path).read()": None,
    "path = os.path.join(FOLDER, uuid.uuid4().hex)\nopen(path, 'w').write(x)\nreturn open(path).read()": None,
    "open(INPUT, 'a').write(x)\nreturn 1": None,
    "return open(INPUT).read()": None,
    "open(FIXED, 'w').write(x)\nreturn open(FIXED).read()": None,  # others have that name with a fork or without
    "path = HOME\npath = path / x\npath.write_text(x)\nreturn path.read_text()": None,
    "path = FOLDER\npath += x\nopen(path, 'w').write(x)\nreturn open(path).read()": None,
    "(HOME / 'last').write_text(x)\nreturn (HOME / 'labels').read_text()": Level.WARNING,  # that is another file
    "(HOME / 'a').write_text(x)\nreturn open(os.path.join(HOME, 'a')).read()": Level.ERROR,
    "open(AGAIN, 'w').write(x)\nreturn open(AGAIN).read()": None,
    "with LOCK:\n    open(INPUT, 'w').write(x)\n    return open(INPUT).read()": None,
}


def test_a_name_that_another_module_sets_anew_is_none(tmp_path: Path) -> None:
    path, other = tmp_path / "shop_of_names.py", tmp_path / "init_of_names.py"
    path.write_text(f"{SHOP}    return open(INPUT), open(PID), other.in_each_child()\n")
    other.write_text("import shop_of_names\n\ndef in_each_child():\n    shop_of_names.INPUT = '/tmp/x'\n")
    with imported(path) as shop, imported(other) as shop.other:
        found = carried_files.paths(reach(shop, "task"))
        Path(shop.FOLDER).rmdir()
    assert [label for label, _ in found] == ["shop_of_names.PID"]


@pytest.mark.parametrize("body", BODIES)
def test_a_file_is_told_that_all_children_write(body: str, tmp_path: Path) -> None:
    path = tmp_path / "shop_of_names.py"
    path.write_text(SHOP + textwrap.indent(body, "    "))
    with imported(path) as shop:
        found = carried_files.paths(reach(shop, "task"))
        told = lost.found({**looked(), "paths": found}, tmp_path)
        Path(shop.FOLDER).rmdir()
    assert [(one.rule, one.level) for one in told] == ([("copied-name", BODIES[body])] if BODIES[body] else [])
