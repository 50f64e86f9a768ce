"""What `harness why` writes to be sent to others: as Markdown, and as a bundle with names taken out."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BadInput, CannotWrite
from harness.live import bundle, markdown, plain, redact, screen
from harness.live.answer import Report
from harness.live.redact import Names
from harness.observe.roles import Role
from tests.test_live import CHILD, SECOND, child, said, seen

STACK = [
    {
        "thread_name": "acme-watch", "os_thread_id": 7, "active": False, "owns_gil": True,
        "frames": [
            {"name": "recv", "filename": "/v/lib/python3.11/ssl.py", "short_filename": "ssl.py", "line": 3},
            {"name": "ask_acme", "filename": "/srv/acme/shop.py", "short_filename": "shop.py", "line": 7},
            {"name": "bill", "filename": "/v/lib/python3.11/site-packages/acme/bill.py",
             "short_filename": "bill.py", "line": 9},
            {"name": "trace_task", "filename": "/v/lib/python3.11/site-packages/celery/app/trace.py",
             "short_filename": "celery/app/trace.py", "line": 4},
        ],
    }
]  # fmt: skip


def names(**known: str) -> Names:
    found = Names()
    found.learn(known, packages=("acme",))
    found.learn_files(plain.files(STACK))
    return found


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("runs a task: shop.price[id-60] for 60 s", "runs a task: task-1[id-1] for 60 s"),
        ("TCP 10.0.0.5:5432 (established, process 12 postgres)", "TCP address-1 (established, process 12 postgres)"),
        ("TCP [2001:db8::1]:443 (connecting)", "TCP address-1 (connecting)"),
        ("at queue.acme.example:5672 it waits", "at address-1 it waits"),
        ("in recv (ssl.py:3), called from ask_acme (shop.py:7)", "in recv (ssl.py:3), called from function-1 (path-1:7)"),
        ("in bill (bill.py:9)", "in function-1 (path-1:9)"),
        ("the stack ends in sem_wait (libc.so.6)", "the stack ends in sem_wait (libc.so.6)"),
        (
            "a lock on the file /srv/acme/a b.lock, held by process 7 acmed",
            "a lock on the file path-1 name-1, held by process 7 name-2",
        ),
        ("redis://me:pass@b.acme.example/0 does not answer: Connection refused", "url-1 does not answer: Connection refused"),
        ("the Unix socket ~/acme.sock", "the Unix socket path-1"),
    ],
)  # fmt: skip
def test_what_is_the_users_becomes_a_pseudonym_and_what_is_ours_stays(said: str, left: str) -> None:
    assert names(**{"shop.price": "task", "id-60": "id"}).text(said) == left


def test_a_word_that_nobody_knows_is_taken_out_and_one_name_has_one_pseudonym() -> None:
    found = names()
    assert found.text("process 7 zqacme waits for zqother and zqacme") == "process 7 name-1 waits for name-2 and name-1"
    assert found.text("zqacme") == "name-1"
    assert found.frame("ask_acme", "/srv/acme/shop.py", 7) == found.text("ask_acme (shop.py:7)") == "function-1 (path-1:7)"


def test_an_application_that_is_called_like_a_word_of_ours_spoils_no_sentence() -> None:
    found = names(tasks="app")
    assert found.value({"app": "tasks", "reason": "other tasks may end it"}) == {
        "app": "app-1", "reason": "other tasks may end it",
    }  # fmt: skip


def test_the_words_of_our_sentences_are_ours_and_those_of_our_examples_are_not() -> None:
    ours = redact.own_words()
    assert {"stands", "acks_late", "cannot-say", "refused"} <= ours
    assert "59145.25" not in ours
    assert "setproctitle" not in ours  # of a docstring


def test_names_that_are_kept_have_no_secrets_in_them() -> None:
    found = Names(keep=True)
    assert found.text("redis://me:pass@b/0, shop.price") == "redis://***@b/0, shop.price"
    assert found.frame("ask", "/srv/shop.py", 7) == "ask (/srv/shop.py:7)"


NATIVE = [
    {"name": "sem_wait", "filename": "/usr/lib/libc.so.6", "short_filename": "libc.so.6", "line": 0},
    {"name": "acme_wait", "filename": "/srv/acme/fast.so", "short_filename": "fast.so", "line": 0},
]


def test_native_frames_of_the_system_are_whole_and_those_of_somebodys_own_library_are_not() -> None:
    found = names()
    assert plain.stack_text([{**STACK[0], "frames": NATIVE}], found).splitlines()[1:] == [
        "    sem_wait (libc.so.6)",
        "    function-1 (path-1)",
    ]


def test_native_stacks_are_in_the_bundle_if_they_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "dumps", lambda seen: {})
    monkeypatch.setattr(plain, "texts", lambda seen, names: {})
    monkeypatch.setattr(plain, "versions", lambda main, dump: {})
    one, natives = seen(child()), {CHILD: [{**STACK[0], "frames": NATIVE}]}
    for given in ({}, natives):
        files = bundle.contents([(one, said(one), given)], with_names=False)
        assert {name for name in files if "native" in name} == {f"processes/{pid}/native.txt" for pid in given}
    assert "sem_wait (libc.so.6)" in files[f"processes/{CHILD}/native.txt"]
    assert "acme" not in "".join(files.values())


def test_a_stack_shows_frames_of_libraries_whole_and_no_others() -> None:
    assert plain.stack_text(STACK, names()).splitlines() == [
        "thread 7 (thread-1, holds the GIL)",
        "    recv (ssl.py:3)",
        "    function-1 (path-1:7)",
        "    function-2 (path-2:9)",
        "    trace_task (celery/app/trace.py:4)",
    ]


def report(**more: Any) -> Report:
    url = {"url": "redis://b/0", "answers": True, "queues": {"acme-q": 3}, "unacked": 1, "asks": True}
    return replace(said(seen(child(), child(SECOND, waits_in="recv", private=False))), broker=url, **more)


def test_the_archive_holds_answer_versions_and_nothing_of_this_machine_in_its_headers() -> None:
    data = bundle.packed("why", {"answer.json": "{}\n", "processes/1/status.txt": "x\n"})
    assert data[4:8] == b"\0\0\0\0"
    assert not data[3] & 0x08  # no name of a file in gzip's header (RFC 1952)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entries = archive.getmembers()
    assert [one.name for one in entries] == ["why/answer.json", "why/processes/1/status.txt"]
    assert {(one.uname, one.gname, one.uid, one.mode) for one in entries} == {("", "", 0, 0o600)}


def test_known_names_are_learnt_with_what_they_are() -> None:
    found = bundle.known(seen(child(), pool="prefork"), report(hostname="celery@acme-host"))
    assert {
        "shop.price": "task",
        f"id-{CHILD}": "id",
        "acme-q": "queue",
        "shop:app": "app",
        "shop": "app",
    }.items() <= found.items()
    assert (found["acme-host"], found["redis://b/0"], "" in found) == ("host", "url", False)
    assert bundle.packages(report()) == {"shop"}


@pytest.mark.parametrize(
    ("place", "kind", "word"),
    [
        ("-", BadInput, "standard output"),
        ("there.tar.gz", BadInput, "not overwritten"),
        ("link.tar.gz", BadInput, "not overwritten"),
        ("none/why.tar.gz", CannotWrite, "there is no folder"),
    ],
)
def test_a_place_that_will_not_do_is_refused_before_anything_is_looked_at(
    place: str, kind: type[Exception], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.tar.gz").write_text("mine")
    Path("link.tar.gz").symlink_to("nowhere")
    with pytest.raises(kind, match=word):
        bundle.check(Path(place), with_names=False)
    assert Path("there.tar.gz").read_text() == "mine"


def test_with_names_needs_a_bundle() -> None:
    bundle.check(None, with_names=False)
    with pytest.raises(BadInput, match="bundle"):
        bundle.check(None, with_names=True)


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "contents", lambda found, with_names: {"answer.json": "{}"})
    path = tmp_path / "why.tar.gz"
    bundle.write(path, [], with_names=False)
    before = path.read_bytes()
    assert os.stat(path).st_mode & 0o777 == 0o600
    with pytest.raises(BadInput, match="not overwritten"):
        bundle.write(path, [], with_names=False)
    assert path.read_bytes() == before
    with pytest.raises(CannotWrite, match="cannot be written"):
        bundle.write(tmp_path / "none" / "why.tar.gz", [], with_names=False)


def test_the_redacted_answer_keeps_the_form_and_the_figures_of_the_answer() -> None:
    one = report()
    found = names(**bundle.known(seen(child()), one)).value(screen.as_json([one]))
    text = json.dumps(found)
    assert "shop" not in text
    assert "acme" not in text
    (worker,) = found["workers"]
    assert (worker["state"], worker["cause"], worker["executors"][0]["pid"]) == ("stuck", "deadlock", CHILD)
    assert worker["broker"]["queues"] == {"queue-1": 3}
    assert worker["now"] == one.now


# As Markdown


def test_markdown_has_headings_a_table_of_executors_and_evidence() -> None:
    page = markdown.page([report()])
    lines = page.splitlines()
    assert lines[0] == "### Worker 50 (shop:app, prefork x 2): stuck"
    assert f"| {CHILD} | {CHILD} | stuck | runs a task shop.price\\[id-{CHILD}\\] | 60 s |" in page
    assert [line for line in lines if line.startswith("#")][1:] == ["#### Executors", "#### Evidence"]
    assert "| cause | deadlock |" in lines
    assert "- broker: redis://b/0: 3 in acme-q waits; 1 handed out and not acknowledged; the worker asks for work" in lines
    assert "held by" not in page  # nobody is


def test_markdown_of_an_idle_worker_is_short() -> None:
    page = markdown.page([said(seen(child(role=Role.IDLE)))])
    assert page.splitlines()[:-1] == [
        "### Worker 50 (shop:app, prefork x 1): works", "", "no task runs now", "", "#### Executors", "", "1 idle", "",
    ]  # fmt: skip


def test_markdown_shows_names_and_no_password_and_no_markup_of_others() -> None:
    evil = report(reason="it waits for amqp://me:hunter2@b:5672//?ssl_password=hunter3 | <b>x</b>", app="a|b")
    page = markdown.page([evil])
    assert "hunter" not in page
    assert "(a\\|b, prefork" in page
    assert "\\| \\<b\\>x" in page
