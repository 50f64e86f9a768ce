"""What `harness check` reads in an application's process: what functions reach, which locks are held, what a label means."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from harness.worker import held, own_process, reached, shared_objects

TEXT = """
import threading
from functools import partial

GUARD, UNUSED = threading.Lock(), threading.Lock()
INBOX, TABLE = [], {}


class Store:
    def __init__(self):
        self.lock, self.other = threading.RLock(), threading.RLock()

    @property
    def size(self):
        with self.lock:
            return len(TABLE)

    def unused(self):
        return self.other


STORE = Store()


def inner():
    import json
    return STORE.size


def task(x):
    with GUARD:
        return [inner() for _ in INBOX]


wrapped = partial(task, 1)


def hold(entered, leave):
    with GUARD:
        entered.set()
        leave.wait()


def want(entered):
    entered.set()
    with GUARD:
        pass
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ModuleType]:
    path = tmp_path / "shop_of_forks.py"
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location("shop_of_forks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shop_of_forks"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["shop_of_forks"]


def reach(module: ModuleType, name: str) -> reached.Reach:
    found = reached.Reach(reached.Own([Path(module.__file__ or "").parent]))
    found.add(getattr(module, name), name)
    return found


@pytest.mark.parametrize("name", ["task", "wrapped"])
def test_a_task_reaches_what_its_names_lead_to_and_nothing_else(shop: ModuleType, name: str) -> None:
    found = reach(shop, name)
    labels = {label for label, _, _ in found.objects.values()}
    assert {"shop_of_forks.GUARD", "shop_of_forks.INBOX", "shop_of_forks.STORE", "shop_of_forks.STORE.lock"} <= labels
    assert not {label for label in labels if label.endswith((".UNUSED", ".other"))}
    assert "json" in found.imports


def test_two_reaches_share_objects_and_no_names(shop: ModuleType) -> None:
    (one,) = (each for each in shared_objects.shared(reach(shop, "task"), reach(shop, "hold")) if each["kind"] == "lock")
    assert one["label"] == "shop_of_forks.GUARD"
    assert [place[2] for place in one["tasks"]] == ["task"]
    assert [place[2] for place in one["thread"]] == ["hold"]


def test_installed_files_are_nobodys_own(tmp_path: Path) -> None:
    own = reached.Own([tmp_path])
    assert own(str(tmp_path / "shop.py"))
    assert not own(str(tmp_path / "venv" / "lib" / "site-packages" / "redis" / "client.py"))
    assert not own(threading.__file__)


def test_a_lock_is_held_by_who_stands_within_and_not_by_who_waits(shop: ModuleType) -> None:
    entered, asked, leave = threading.Event(), threading.Event(), threading.Event()
    holder = threading.Thread(target=shop.hold, args=(entered, leave))
    waiter = threading.Thread(target=shop.want, args=(asked,))
    holder.start()
    entered.wait(10)
    waiter.start()
    asked.wait(10)
    try:
        found = [(ident, line) for lock, ident, _, line in held.held_by_others([]) if lock is shop.GUARD]
    finally:
        leave.set()
        holder.join(10)
        waiter.join(10)
    assert found == [(holder.ident, TEXT.splitlines().index("def hold(entered, leave):") + 2)]
    assert [lock for lock, *_ in held.held_by_others([]) if lock is shop.GUARD] == []


def test_an_rlock_says_its_owner() -> None:
    lock, entered, leave = threading.RLock(), threading.Event(), threading.Event()

    def keep() -> None:
        lock.acquire()
        entered.set()
        leave.wait()
        lock.release()

    holder = threading.Thread(target=keep)
    holder.start()
    entered.wait(10)
    try:
        found = [ident for each, ident, *_ in held.held_by_others([lock]) if each is lock]
    finally:
        leave.set()
        holder.join(10)
    assert found == [holder.ident]


def test_a_label_leads_to_the_object_of_now(shop: ModuleType) -> None:
    before = shop.STORE.lock
    assert shared_objects.resolved("shop_of_forks.STORE.lock", before) is before
    shop.STORE = shop.Store()
    assert shared_objects.resolved("shop_of_forks.STORE.lock", before) is shop.STORE.lock
    assert shared_objects.resolved("an argument of task", before) is before


def test_threads_of_python_are_no_native_ones() -> None:
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    thread.start()
    try:
        natives = {one["tid"] for one in own_process.native_threads()}
        assert thread.native_id in own_process.python_tids()
        assert thread.native_id not in natives
    finally:
        leave.set()
        thread.join(10)


def test_an_address_of_the_kernels_is_read() -> None:
    assert own_process._address("0100007F:18EB") == "127.0.0.1:6379"
