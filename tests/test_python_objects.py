"""What is read of Python objects in memory: of the Pythons of 3.7 to 3.15, as it was kept, and of the one that runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from harness.machine import python_layouts
from harness.machine.python_layouts import LAYOUTS
from harness.machine.python_memory import Memory, Unreadable
from harness.machine.python_objects import Objects
from tests import python_things, stored_memory
from tests.python_reading import EXPECTED, looked


@pytest.mark.parametrize("minor", LAYOUTS)
def test_objects_are_read_alike_in_each_version(minor: int) -> None:
    assert looked(*stored_memory.load(minor)) == EXPECTED


def test_objects_of_a_process_that_runs_are_read() -> None:
    kept = python_things.things()
    layout = python_layouts.of_process(os.getpid())
    assert layout is not None
    with Memory(os.getpid()) as memory:
        found = looked(Objects(memory, layout), {name: id(one) for name, one in kept.items()})
        assert found == EXPECTED
        assert 0 < memory.reads < 400


@pytest.mark.parametrize("minor", LAYOUTS)
def test_what_is_something_else_than_asked_for_is_not_read(minor: int) -> None:
    objects, places = stored_memory.load(minor)
    asked: list[Callable[[int], Any]] = [objects.text, objects.items, objects.members, objects.table, objects.module]
    for ask in (*asked, objects.globals, objects.number):
        for place in (places["reserved"], places["none"], 0, 17, 1 << 46, (1 << 64) - 8):
            with pytest.raises(Unreadable):
                ask(place)
    none = [objects.function, objects.bound, objects.partial, objects.referent, objects.of_c]
    assert all(ask(places["reserved"]) is None for ask in none)


def _changed(minor: int, name: str, offset: int, value: int) -> tuple[Objects, int]:
    """Memory in which one byte of an object is another one."""
    objects, places = stored_memory.load(minor)
    memory = objects.memory
    assert isinstance(memory, stored_memory.Stored)
    return Objects(memory.with_byte(places[name] + offset, value), LAYOUTS[minor]), places[name]


@pytest.mark.parametrize("minor", LAYOUTS)
@pytest.mark.parametrize(("name", "offset"), [("numbers", python_layouts.USED_AT), ("taken", python_layouts.SET_USED_AT)])
def test_a_container_that_has_not_what_it_says_is_not_read(minor: int, name: str, offset: int) -> None:
    objects, place = _changed(minor, name, offset, 2)
    with pytest.raises(Unreadable, match="changed meanwhile"):
        objects.members(place) if name == "taken" else objects.table(place)


def test_another_layout_than_the_right_one_shows_nothing() -> None:
    objects, places = stored_memory.load(7)
    wrong = Objects(objects.memory, LAYOUTS[12])
    for ask in (wrong.function, wrong.attributes):
        with pytest.raises(Unreadable):
            ask(places["outer" if ask == wrong.function else "plain"])
