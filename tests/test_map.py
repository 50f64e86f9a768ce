"""The code keeps to the map in `harness/__init__.py`: every room stands in it, and imports lower rooms only."""

from __future__ import annotations

import ast
from pathlib import Path

import harness
from harness.places import PACKAGE

LAYER = {room: height for height, rooms in enumerate(harness.LAYERS) for room in rooms}
#: (importer, imported): reason
ALLOWED: dict[tuple[str, str], str] = {}


def rooms_of(source: str) -> set[str]:
    """The rooms of ours that a module's text imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("harness.")}
    return found - {"__version__", "load"}


def upward(room: str, source: str) -> list[str]:
    """What this room may not import, of what it does."""
    others = rooms_of(source) - {room}
    return sorted(one for one in others if LAYER[one] >= LAYER[room] and (room, one) not in ALLOWED)


def modules() -> list[tuple[str, Path]]:
    return [(path.relative_to(PACKAGE).with_suffix("").parts[0], path) for path in sorted(PACKAGE.rglob("*.py"))]


def test_every_room_stands_in_the_map() -> None:
    assert {room for room, _ in modules()} - {"__init__"} == set(LAYER)
    told = (harness.__doc__ or "").replace(",", " ").split()
    assert not [room for room in LAYER if room not in told]


def test_a_room_imports_lower_rooms_only() -> None:
    found = {str(path.relative_to(PACKAGE)): upward(room, path.read_text()) for room, path in modules() if room != "__init__"}
    assert not {path: rooms for path, rooms in found.items() if rooms}


def test_an_import_that_goes_up_is_found() -> None:
    assert upward("judge", "def late():\n    from harness.trial import trial") == ["trial"]
    assert upward("records", "from harness import errors, run") == ["run"]
    assert upward("measure", "import harness.decide.bisect") == ["decide"]
