"""What `harness check` reads in an application's process: what functions reach, which locks are held, what a label means."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from harness.worker import carried_files, fork_look, held, holders, own_files, own_process, polled, reached, shared_objects
from tests.waiting import wait_until

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


@contextmanager
def imported(path: Path) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ModuleType]:
    path = tmp_path / "shop_of_forks.py"
    path.write_text(TEXT)
    with imported(path) as module:
        yield module


def reach(module: ModuleType, name: str) -> reached.Reach:
    found = reached.Reach(own_files.Own([Path(module.__file__ or "").parent]))
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
    own = own_files.Own([tmp_path])
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


FILES = """
import json, os, zipfile

OWN = __file__
TEXTS, MORE, CLOSED, LOG = open(OWN), open(OWN, "rb"), open(OWN), open(os.devnull, "w")
CLOSED.close()
PARTS = zipfile.ZipFile(ARCHIVE)


def reads():
    return TEXTS.readline()


def hands_on():
    return json.load(TEXTS)


def within():
    return PARTS.read("part")


class Table:
    def __init__(self):
        self.file = open(OWN)

    def __getitem__(self, at):
        self.file.seek(at)
        return self.file.readline()


TABLE = Table()


def by_a_key():
    return TABLE[0]


def says_where():
    return os.pread(MORE.fileno(), 1, 0)


def others():
    LOG.write(CLOSED.name)
"""


@pytest.mark.parametrize(
    ("task", "labels"),
    [("reads", ["TEXTS"]), ("hands_on", ["TEXTS"]), ("within", ["PARTS.fp"]), ("by_a_key", ["TABLE.file"]),
     ("says_where", []), ("others", [])],
)  # fmt: skip
def test_files_that_a_task_reads_are_told_with_their_path(tmp_path: Path, task: str, labels: list[str]) -> None:
    archive, path = tmp_path / "parts.zip", tmp_path / "shop_of_files.py"
    with zipfile.ZipFile(archive, "w") as parts:
        parts.writestr("part", "text")
    path.write_text(FILES.replace("ARCHIVE", repr(str(archive))))
    with imported(path) as shop:
        found = carried_files.files(reach(shop, task))
        for opened in (shop.TEXTS, shop.MORE, shop.LOG, shop.PARTS, shop.TABLE.file):
            opened.close()
    where = str(archive if task == "within" else path)
    assert [(label, file) for label, file, _ in found] == [(f"shop_of_files.{label}", where) for label in labels]


PIPES = """
import os, subprocess, sys

ENGINE = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
HERE, THERE = (open(end, mode) for end, mode in zip(os.pipe(), "rw"))


def asks():
    return ENGINE.stdout.readline()


def tells():
    ENGINE.stdin.write(b"1")


def its_own():
    return HERE.readline()
"""


@pytest.mark.parametrize(("task", "labels"), [("asks", ["ENGINE.stdout"]), ("tells", []), ("its_own", [])])
def test_a_pipe_that_another_process_writes_into_is_told(tmp_path: Path, task: str, labels: list[str]) -> None:
    path = tmp_path / "shop_of_pipes.py"
    path.write_text(PIPES)
    with imported(path) as shop:
        found = carried_files.files(reach(shop, task))
        shop.ENGINE.communicate(b"1")
        shop.HERE.close()
        shop.THERE.close()
    assert [(label, file[:5], [one[2] for one in users]) for label, file, users in found] == [
        (f"shop_of_pipes.{label}", "pipe:", [task]) for label in labels
    ]


SERVED = """
import threading
from http.server import ThreadingHTTPServer


class Rates(threading.Thread):
    def __init__(self):
        super().__init__(name="rates")
        self.latest, self.url = 0.0, "http://rates"

    def run(self):
        self.latest = 1.0


class Buffer:
    def __init__(self):
        self.rows, self.most = [], 10

    def flush(self):
        self.rows.clear()

    def add(self, row):
        self.rows.append(row)


SERVER, RATES, BUFFER = ThreadingHTTPServer.__new__(ThreadingHTTPServer), Rates(), Buffer()
SERVER.server_port, SERVER.server_address = 8080, ("127.0.0.1", 8080)


def port():
    return SERVER.server_port, SERVER.server_address


def rate():
    return RATES.latest


def where():
    return RATES.url, RATES.name, RATES.is_alive()


def add():
    BUFFER.add(1)


def most():
    return BUFFER.most
"""


@pytest.mark.parametrize(
    ("task", "thread", "owner"),
    [
        ("port", lambda shop: threading.Thread(target=shop.SERVER.serve_forever), ""),
        ("rate", lambda shop: shop.RATES, "shop_of_forks.RATES"),
        ("where", lambda shop: shop.RATES, ""),
        ("add", lambda shop: threading.Timer(1, shop.BUFFER.flush), "shop_of_forks.BUFFER"),
        ("most", lambda shop: threading.Timer(1, shop.BUFFER.flush), ""),
    ],
)
def test_who_reads_what_a_thread_never_changes_needs_no_thread(
    shop: ModuleType, task: str, thread: Callable[[ModuleType], threading.Thread], owner: str
) -> None:
    exec(compile(SERVED, shop.__file__ or "", "exec"), vars(shop))
    one, own = thread(shop), own_files.Own([Path(shop.__file__ or "").parent])
    found = holders.owned(reach(shop, task), one, fork_look.of_thread(one, own))
    assert [each["label"] for each in found] == ([owner] if owner else [])


WRITER = """
import threading
from multiprocessing import Pipe


class Writer:
    def __init__(self):
        self.here, self.there = Pipe(duplex=False)
        self.written, self.thread = [], threading.Thread(target=self.write, daemon=True)

    def write(self):
        while (row := self.here.recv()) is not None:
            self.written.append(row)

    def log(self, row):
        self.written = []
        self.there.send(row)


LOG = Writer()


def log():
    LOG.log(1)
"""


def test_a_thread_that_takes_what_comes_through_a_pipe_serves_children_where_it_is(shop: ModuleType) -> None:
    exec(compile(WRITER, shop.__file__ or "", "exec"), vars(shop))
    log, own = shop.LOG, own_files.Own([Path(shop.__file__ or "").parent])
    thread = fork_look.of_thread(log.thread, own)
    assert [each["label"] for each in holders.owned(reach(shop, "log"), log.thread, thread)] == ["shop_of_forks.LOG"]
    log.thread.start()
    assert wait_until(lambda: holders.takes_from_pipe(log.thread.ident))
    assert holders.owned(reach(shop, "log"), log.thread, thread) == []
    log.there.send(None)
    log.thread.join(10)


def test_a_pipe_has_another_end_here_until_that_is_closed() -> None:
    here, there = os.pipe()
    assert own_process.has_other_end(here)
    os.close(there)
    assert not own_process.has_other_end(here)
    os.close(here)


def test_the_threads_of_a_pool_and_of_a_loop_are_known() -> None:
    loop, pool = asyncio.new_event_loop(), ThreadPoolExecutor(1)
    ident = pool.submit(threading.get_ident).result()
    turning = threading.Thread(target=loop.run_forever)
    turning.start()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
    assert shared_objects.state(pool)["idents"] == [ident]
    assert shared_objects.state(loop)["idents"] == [turning.ident]
    loop.call_soon_threadsafe(loop.stop)
    turning.join()
    loop.close()
    pool.shutdown()


HIDDEN = """
import functools
import logging
import logging.handlers
import queue
import threading
from celery import Task

GUARDS = [threading.Lock() for _ in range(8)]
CACHED, OF_CLASS, SINGLE, OF_TASK, OF_BASE, OF_LOCAL, LOGGED, UNUSED = GUARDS


@functools.lru_cache(maxsize=None)
def cached():
    return Holder(CACHED)


@functools.lru_cache(maxsize=1)
def kept(size):
    return Holder(CACHED)


class Holder:
    guard = OF_CLASS
    other = UNUSED

    def __init__(self, own):
        self.own = own


class Single:
    _one = None

    @classmethod
    def get(cls):
        return cls._one


Single._one = Holder(SINGLE)


class Base(Task):
    shared = Holder(OF_BASE)
    other = UNUSED

    def __init__(self):
        self.holder = Holder(OF_TASK)


class Mine(Base):
    def run(self):
        return self.holder.own, self.shared.own


class Sender(logging.handlers.QueueHandler):
    def enqueue(self, record):
        self.send(record)

    def send(self, record):
        with LOGGED:
            self.queue.put(record)


LOCAL, LOG, RECORDS = threading.local(), logging.getLogger("shop_of_forks.audit"), queue.Queue()
LOCAL.guard = OF_LOCAL
logging.getLogger("shop_of_forks").addHandler(Sender(RECORDS))


def by_cache():
    return cached().own


def by_kept():
    return kept(1).own


def by_class():
    return Holder.guard


def by_object():
    return HELD.guard


HELD = Holder(None)


def by_singleton():
    return Single.get().own


def held():
    return HELD_BY["a"]


HELD_BY = {"a": Holder(OF_BASE)}


def by_getter():
    return held().own


by_task = Mine().run


def by_local():
    return LOCAL.guard


def by_log():
    LOG.info("asked")


kept(1), cached()
"""


@pytest.mark.parametrize(
    ("task", "guards"),
    [
        ("by_cache", {"CACHED"}), ("by_kept", {"CACHED"}), ("by_class", {"OF_CLASS"}), ("by_object", {"OF_CLASS"}),
        ("by_singleton", {"SINGLE"}), ("by_getter", {"OF_BASE"}), ("by_task", {"OF_TASK", "OF_BASE"}),
        ("by_local", {"OF_LOCAL"}), ("by_log", {"LOGGED"}),
    ],
)  # fmt: skip
def test_what_a_task_keeps_elsewhere_than_in_a_module_is_reached(shop: ModuleType, task: str, guards: set[str]) -> None:
    exec(compile(HIDDEN, shop.__file__ or "", "exec"), vars(shop))
    try:
        found = reach(shop, task).objects
    finally:
        logging.getLogger("shop_of_forks").handlers.clear()
    names = ("CACHED", "OF_CLASS", "SINGLE", "OF_TASK", "OF_BASE", "OF_LOCAL", "LOGGED", "UNUSED")
    assert {name for name in names if id(vars(shop)[name]) in found} == guards
    if task == "by_task":
        labels = [found[id(lock)][0] for lock in (shop.OF_TASK, shop.OF_BASE)]
        assert labels == ["shop_of_forks.Mine.holder.own", "shop_of_forks.Mine.shared.own"]
    if task == "by_log":
        assert id(shop.RECORDS) in found
        assert not any(value is logging.getLogger("shop_of_forks").manager for _, value, _ in found.values())


STARTING = """
import os, threading

class Bus:
    def __init__(self):
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
    def serve(self): pass
    def alive(self): return self.thread.is_alive()
    def ensure(self):
        if not self.alive():
            self.thread = threading.Thread(target=self.serve)
            self.thread.start()

BUS, PID = Bus(), 0

def get():
    global BUS
    if BUS is None:
        BUS = Bus()
    return BUS

def by_process():
    if PID != os.getpid():
        threading.Thread(target=BUS.serve).start()

def by_life(): BUS.ensure()
def by_getter(): get()
def start_it(): threading.Thread(target=BUS.serve).start()
"""


@pytest.mark.parametrize(
    ("task", "first", "again"),
    [
        ("by_process", (), True),
        ("by_life", (), True),
        ("by_getter", (), False),
        ("start_it", (), False),
        ("start_it", ("start_it",), True),
    ],
)
def test_a_thread_may_be_started_again_where_somebody_looks_whether_it_is_there(
    shop: ModuleType, task: str, first: tuple[str, ...], again: bool
) -> None:
    exec(compile(STARTING, shop.__file__ or "", "exec"), vars(shop))
    assert shared_objects.starts_again(reach(shop, task), shop.BUS.thread, set(first)) is again


def test_what_stands_in_a_table_is_renewed_if_it_is_there_no_more(shop: ModuleType) -> None:
    exec("KEPT = {'a': threading.Lock()}\ndef ask():\n    return KEPT['a'].locked()", vars(shop))
    ((label, lock),) = [(at, one) for at, one, _ in reach(shop, "ask").objects.values() if one is shop.KEPT["a"]]
    root = shared_objects.resolved(label, lock)
    assert (root is shop.KEPT, shared_objects.is_renewed(label, lock, root)) == (True, False)
    shop.KEPT["a"] = threading.Lock()
    assert shared_objects.is_renewed(label, lock, root)
    shop.KEPT = {"a": lock}
    assert shared_objects.is_renewed(label, lock, root)


def test_what_a_receiver_gives_another_object_to_is_made_anew(shop: ModuleType) -> None:
    code = "def again(**_):\n    global INBOX\n    INBOX = []\n    STORE.lock = None\n    GUARD.locked()\n    shut()\n"
    code += "def shut():\n    TABLE.close()"
    exec(code, vars(shop))
    labels = [f"shop_of_forks.{name}" for name in ("INBOX", "STORE.lock", "TABLE", "GUARD", "UNUSED")]
    assert shared_objects.made_anew(reach(shop, "again"), labels) == labels[:3]


def test_a_connection_of_sqlite_is_known(shop: ModuleType) -> None:
    exec("import sqlite3\nSTOCK = sqlite3.connect(':memory:')\ndef ask():\n    return STOCK.execute('select 1')", vars(shop))
    assert [(label, [place[2] for place in users]) for label, users in carried_files.databases(reach(shop, "ask"))] == [
        ("shop_of_forks.STOCK", ["ask"])
    ]
    shop.STOCK.close()


CONNECTED = """
import os
import socket


class Client:
    def __init__(self):
        self.connect()

    def connect(self):
        self.sock, self.peer = socket.socketpair()

    def ask(self):
        self.sock.send(b"1")
        return self.peer.recv(1)

    def ask_in_own_process(self):
        if self.pid != os.getpid():
            self.connect()
        return self.ask()


CLIENT, CAREFUL = Client(), Client()
CAREFUL.pid = os.getpid()


def plain():
    return CLIENT.ask()


def aware():
    return CAREFUL.ask_in_own_process()


def again(**_):
    CLIENT.connect()
"""


@pytest.mark.parametrize(
    ("task", "first", "found"),
    [
        ("plain", None, ("shop_of_sockets.CLIENT.sock", False)),
        ("plain", "again", None),
        ("aware", None, ("shop_of_sockets.CAREFUL.sock", True)),
    ],
)
def test_a_connection_is_reached_with_whether_each_child_has_its_own(
    tmp_path: Path, task: str, first: str | None, found: tuple[str, bool] | None
) -> None:
    path = tmp_path / "shop_of_sockets.py"
    path.write_text(CONNECTED)
    with imported(path) as shop:
        number = (shop.CAREFUL if task == "aware" else shop.CLIENT).sock.fileno()
        tasks = reach(shop, task)
        labels = [label for label, _, _ in tasks.objects.values()]
        anew = shared_objects.made_anew(reach(shop, first), labels) if first else []
        assert shared_objects.connections(tasks, {number}, anew).get(number) == found
        for client in (shop.CLIENT, shop.CAREFUL):
            client.sock.close()
            client.peer.close()


POLLED = """
import threading

import tables
from tables import TABLE as MINE

READY, MODEL = False, None


class Store:
    size = 0

    def __init__(self):
        self.model = None

    def load(self):
        self.model = 1

    def ask(self):
        return self.model


STORE = Store()


def load():
    global READY
    READY = tables.LOADED = True
    MINE["model"] = 1


def task():
    import rare
    return READY, MINE, STORE.ask(), tables.LOADED


def other():
    return MINE, READY


def another():
    return MODEL
"""


def test_what_a_loop_sees_at_the_fork_is_told_with_all_who_may_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rare.py").write_text("")
    (tmp_path / "tables.py").write_text("LOADED = False\nTABLE = {'ready': False, 'rows': [1], 'other': object()}\n")
    (tmp_path / "polls.py").write_text(POLLED)
    with imported(tmp_path / "tables.py"), imported(tmp_path / "polls.py") as shop:
        tasks, thread = reach(shop, "task"), reach(shop, "load")
        known = polled.functions(tasks.own)
        name, other = polled.of_names(tasks, thread, known)
        assert polled.unread(tasks) == [[str(tmp_path / "rare.py"), 0, "<module>", []]]
        table, inner = (one for one in shared_objects.shared(tasks, thread, known) if one["kind"] == "container")
        loader = threading.Thread(target=shop.STORE.load)
        (owner,) = holders.owned(tasks, loader, fork_look.of_thread(loader, tasks.own), known)
    assert (name["label"], name["state"]) == ("polls.READY", {"slots": {"READY": "False"}})
    assert (other["label"], other["state"]) == ("tables.LOADED", {"slots": {"LOADED": "False"}})
    assert [place[2] for place in other["tasks"]] == ["task"]
    slots = {"'ready'": "False", "'rows'": "truthy", "'other'": "object"}
    assert table["state"] == {"size": 3, "slots": slots, "whole": True, "mapping": True}
    assert (inner["label"], inner["state"]) == (table["label"], {})
    assert owner["state"]["slots"]["model"] == "None"
    assert owner["state"]["slots"]["size"] == "falsy"
    assert [(one[2], one[3]) for one in name["elsewhere"]] == [("other", ["READY"])]
    assert [(one[2], one[3]) for one in table["elsewhere"]] == [("other", ["MINE"])]
    assert [(one[2], one[3]) for one in owner["elsewhere"]] == [("__init__", ["model"])]


HANDED = """
import functools
import sys
import threading
import time

class Job:
    def __init__(self):
        self.STATE = STATE

STATE, READY, FLAG = {}, threading.Event(), False
%s

def load():
    global FLAG
    STATE["w"] = FLAG = READY.set()

def task():
    return STATE, READY, FLAG
"""


@pytest.mark.parametrize(
    ("more", "labels"),
    [
        ("threading.Thread(target=lambda _: time.sleep(1), args=(STATE,), daemon=True).start()", []),
        ("JOB = Job()", []),
        ("INIT = functools.partial(STATE.update, w=1)", ["handed.STATE"]),
        ("INIT = functools.partial(print, STATE)", ["handed.STATE"]),
        ("INIT = [READY.set]", ["handed.READY"]),
        ("def init(table=STATE): table['w'] = 1", ["handed.STATE"]),
        ("def init(): globals().update(read())", ["handed.FLAG"]),
        ("def init(): setattr(sys.modules[__name__], name, 1)", ["handed.FLAG"]),
        ("def init(job): setattr(job, name, 1)", ["handed.FLAG"]),
    ],
)
def test_who_may_change_what_a_loop_asks_for_need_not_name_it(tmp_path: Path, more: str, labels: list[str]) -> None:
    (tmp_path / "handed.py").write_text(HANDED % more)
    with imported(tmp_path / "handed.py") as shop:
        tasks, thread = reach(shop, "task"), reach(shop, "load")
        known = polled.functions(tasks.own)
        found = shared_objects.shared(tasks, thread, known) + polled.of_names(tasks, thread, known)
        assert {one["label"] for one in found} == {"handed.STATE", "handed.READY", "handed.FLAG"}
    assert [one["label"] for one in found if polled.NOBODY_KNOWS in one["elsewhere"]] == labels
    assert all("handed" in one["bases"] for one in found)


def test_what_raises_in_the_middle_of_a_loop_may_end_it(tmp_path: Path) -> None:
    text = "import signal\ndef task():\n    signal.alarm(2)\n\ndef other():\n    return 1\n"
    (tmp_path / "limited.py").write_text(text)
    with imported(tmp_path / "limited.py") as shop:
        told = [polled.unread(reach(shop, name)) for name in ("task", "other")]
    assert told == [[polled.NOBODY_KNOWS], []]
