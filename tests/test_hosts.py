"""Blocks of an experiment on hosts: what is asked of them, what comes home, and what is made of a host that is lost. Nothing is
started here, and no Dask is needed: a client that is written by hand says what became of each block."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import __version__, extras
from harness.errors import BadInput, HarnessError, MissingTool
from harness.records.record import to_line
from harness.records.store import RunFolder
from harness.run import plan, shards
from harness.run.hosts import block as blocks
from harness.run.hosts import quiet, remote, workflow
from harness.run.hosts.campaign import Campaign
from harness.run.hosts.home import BLOCKS, Home, unpacked
from harness.run.hosts.order import Block, HostOrder, words_of
from tests.test_shards import SPEC, shipped, written
from tests.test_store import record


def order(folder: Path, **changes: Any) -> HostOrder:
    asked = HostOrder(experiment=SPEC, cells=SPEC.expand(), folder=folder, words=["small.toml"], where="tcp://there:1")
    return replace(asked, **changes)


def left(path: Path, block: Block, **changes: Any) -> bytes:
    """The archive of a host that has run a block."""
    cells = [cell for cell in SPEC.expand() if cell.id in block.cells]
    return blocks.packed(written(path, cells, str(block.shard), **changes))


# What is asked


@pytest.mark.parametrize("name", ["quick", "full", "grid"])
def test_as_many_shards_as_blocks_are_the_blocks(name: str) -> None:
    cells = plan.chosen_cells(shipped(name), [])
    asked = HostOrder(experiment=shipped(name), cells=cells, folder=Path("x"), words=[name], where="tcp://there:1")
    whole = {frozenset(cell.id for cell in block) for block in shards.blocks(cells)}
    given = {frozenset(cell.id for cell in shards.part(cells, block.shard)) for block in asked.blocks()}
    assert given == whole
    assert len({block.name for block in asked.blocks()}) == len(whole)


def test_a_block_keeps_its_name_until_something_else_is_asked_for(tmp_path: Path) -> None:
    names = [block.name for block in order(tmp_path).blocks()]
    assert names == [block.name for block in order(tmp_path / "elsewhere", fresh=True, where="ssh:x").blocks()]
    half = [block.name for block in order(tmp_path, cells=shards.blocks(SPEC.expand())[0]).blocks()]
    assert set(half) < set(names), "whatever else is selected"
    for changes in ({"words": ["small.toml", "--repeat", "3"]}, {"files": {"small.toml": b"other"}}):
        assert not set(names) & {block.name for block in order(tmp_path, **changes).blocks()}


def test_the_words_for_a_host_name_files_that_go_along(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("name = 'x'")
    (tmp_path / "model.keras").write_bytes(b"model")
    words, files = words_of(
        str(tmp_path / "mine.toml"), options={"--repeat": 3, "--thorough": True, "--broker": "", "--limit-s": None},
        select=["theano-*", "*-c2-*"], model=tmp_path / "model.keras", rows=None, own=None,
    )  # fmt: skip
    assert words == "mine.toml --select theano-* --select *-c2-* --model model.keras --repeat 3 --thorough".split()
    assert files == {"mine.toml": b"name = 'x'", "model.keras": b"model"}
    with pytest.raises(BadInput, match="--backend does not go with --on"):
        words_of("quick", options={}, select=None, model=None, rows=None, own=["x.py:X"])


def test_several_brokers_are_named_one_by_one() -> None:
    words, _ = words_of("quick", options={"--broker": ["redis://a", "amqp://b"]}, select=None, model=None, rows=None, own=None)
    assert words == ["quick", "--broker", "redis://a", "--broker", "amqp://b"]


@pytest.mark.parametrize(
    ("text", "names", "commands", "bind"),
    [
        (
            "node1\n\n# all\nme@node2 /opt/harness -x  # why\n",
            ("node1", "me@node2"),
            (("harness",), ("/opt/harness", "-x")),
            "",
        ),
        ("scheduler 10.0.0.1\nnode1\n", ("node1",), (("harness",),), "10.0.0.1"),
    ],
)
def test_a_file_of_hosts_is_read(tmp_path: Path, text: str, names: Any, commands: Any, bind: str) -> None:
    (tmp_path / "hosts.txt").write_text(text)
    assert remote.read(tmp_path / "hosts.txt") == remote.Hosts(names=names, commands=commands, bind=bind)


@pytest.mark.parametrize("text", ["", "scheduler 10.0.0.1", "node1\nnode1", "-oProxyCommand=x", "'node1"])
def test_a_file_that_names_no_hosts_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "hosts.txt").write_text(text)
    with pytest.raises(BadInput):
        remote.read(tmp_path / "hosts.txt")


def test_hosts_are_asked_for_by_an_address_or_a_file() -> None:
    with remote.reached("tls://there:1", print) as (address, check):
        assert (address, check()) == ("tls://there:1", None)  # type: ignore[func-returns-value]
    with pytest.raises(BadInput, match="no address of hosts"), remote.reached("there:1", print):
        pass


def test_what_hosts_need_is_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras, "installed", lambda package: False)
    with pytest.raises(MissingTool, match="--on needs distributed") as caught:
        workflow.run(order(tmp_path), print)
    assert caught.value.remedy == extras.INSTALL_CLUSTER


# On the host


def test_a_host_of_another_version_runs_nothing(tmp_path: Path) -> None:
    message = order(tmp_path).message(order(tmp_path).blocks()[0], "topic")
    assert message["version"] == __version__
    found = blocks.carried_out({**message, "version": "0.0.1"}, lambda: True, lambda what: None)
    assert (found["code"], found["archive"]) == (blocks.NO_RUN, b"")
    assert "0.0.1 asks" in found["output"]


def test_records_are_told_as_they_end_and_once(tmp_path: Path) -> None:
    told = list[Mapping[str, Any]]()
    seen = blocks.Seen(tmp_path, told.append)
    seen.look()
    (tmp_path / "scratch" / "trial-1").mkdir(parents=True)
    (tmp_path / "scratch" / "trial-1" / "cell").write_text("one")
    line = to_line(record(SPEC.expand()[0]))
    (tmp_path / "trials.jsonl").write_text(line + line[:20])
    seen.look()
    seen.look()
    assert told == [{"cells": ["one"]}, {"line": line.rstrip("\n")}]
    (tmp_path / "trials.jsonl").write_text(line * 2)
    seen.look()
    assert told[2:] == [{"line": line.rstrip("\n")}]


def test_the_settings_of_dask_leave_the_machine_alone() -> None:
    assert quiet.share((10.0, 1.0), (15.0, 1.01)) == pytest.approx(quiet.SHARE)
    assert quiet.SETTINGS["distributed.scheduler.work-stealing"] is False
    assert quiet.SETTINGS["distributed.worker.profile.enabled"] is False


# At home


def test_blocks_that_came_home_become_one_run(tmp_path: Path) -> None:
    home, (first, second) = Home(tmp_path / "whole"), order(tmp_path).blocks()
    assert home.merged([first, second]) == []
    home.unpack(first, left(tmp_path / "a", first), "node1")
    (part,) = home.merged([first, second])
    assert (part.trials, part.lacking) == (2, 2)
    assert (home.holds(first), home.holds(second)) == (True, False)
    home.unpack(second, left(tmp_path / "b", second), "node2")
    (whole,) = home.merged([first, second])
    assert (whole.trials, whole.lacking) == (4, 0)
    assert RunFolder(home.place(first)).read_json("run.json")["host"] == "node1"
    assert not list((tmp_path / "whole" / BLOCKS).glob(".*.new"))


def test_hosts_of_another_kind_are_kept_apart_whenever_they_come(tmp_path: Path) -> None:
    home, (first, second) = Home(tmp_path / "whole"), order(tmp_path).blocks()
    home.unpack(first, left(tmp_path / "a", first), "node1")
    assert [one.folder for one in home.merged([first, second])] == [home.path]
    home.unpack(second, left(tmp_path / "b", second, machine={"processor": "another"}), "node2")
    assert [one.folder.name for one in home.merged([first, second])] == ["machine-1", "machine-2"]
    assert not (home.path / "trials.jsonl").exists()


def test_what_no_block_has_left_is_never_removed(tmp_path: Path) -> None:
    home, (first, _) = Home(tmp_path / "whole"), order(tmp_path).blocks()
    written(home.path, SPEC.expand())
    with pytest.raises(BadInput, match="holds a run that was made on one machine"):
        home.admit()
    home.unpack(first, left(tmp_path / "a", first, started="2026-01-05T00:00:00+00:00"), "node1")
    with pytest.raises(BadInput, match="holds records that no block has left"):
        home.merged([first])
    assert len(RunFolder(home.path).records()) == 4


def archive(*members: tuple[str, bytes | str]) -> bytes:
    """Files by name; a text is where a link leads."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                made.addfile(info)
            else:
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
    return target.getvalue()


@pytest.mark.parametrize(
    "sent",
    [b"", b"\x1f\x8bnothing", archive(("../out", b"x")), archive(("/tmp/out", b"x")), archive(("link", "/etc/passwd")),
     archive(("run.json", b"{}"))],
    ids=["nothing", "torn", "up", "absolute", "link", "no-records"],
)  # fmt: skip
def test_what_is_no_archive_of_a_run_leaves_nothing(tmp_path: Path, sent: bytes) -> None:
    home, (first, _) = Home(tmp_path / "whole"), order(tmp_path).blocks()
    with pytest.raises(BadInput, match="what node1 sent of block"):
        home.unpack(first, sent, "node1")
    assert not home.holds(first)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "whole" / "out").exists()


def test_an_archive_unpacks_to_what_was_packed(tmp_path: Path) -> None:
    run = written(tmp_path / "run", SPEC.expand())
    (run / "scratch").mkdir()
    (run / "scratch" / "x").write_text("not kept")
    (run / "evidence" / "link").symlink_to("/etc/hostname")
    unpacked(blocks.packed(run), tmp_path / "there")
    names = {str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("*") if path.is_file()}
    kept = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} - {"scratch/x", "evidence/link"}
    assert names == kept


def test_copies_of_a_block_become_a_run_for_each_host(tmp_path: Path) -> None:
    home, asked = Home(tmp_path / "whole"), order(tmp_path, copies=2)
    names = [block.name for block in asked.blocks()]
    assert names[:2] == [block.name for block in order(tmp_path).blocks()], "more copies complete what there is"
    for number, block in enumerate(asked.blocks()):
        assert home.unpack(block, left(tmp_path / block.name, block), f"node{number // 2}") is None
    found = home.merged(asked.blocks())
    assert [(one.folder.name, one.trials) for one in found] == [("host-node0", 4), ("host-node1", 4)]
    assert [one.folder.name for one in home.merged(asked.blocks())] == ["host-node0", "host-node1"]


# Lost hosts


class Future:
    """Of a block that Dask is done with; `end` says how."""

    def __init__(self, end: object) -> None:
        self._end = end
        self.status = "error" if isinstance(end, Exception) else "finished"

    def done(self) -> bool:
        return True

    def exception(self) -> object:
        return self._end

    def result(self) -> object:
        return self._end

    def cancel(self) -> None:
        """Nothing is under way."""


class Client:
    """Of one host: `play` says what it tells of a block's n-th try, and how that ends."""

    status = "running"

    def __init__(self, play: Callable[[str, int], tuple[list[dict[str, Any]], object]]) -> None:
        self._play, self._tries = play, dict[str, int]()
        self._handler: Callable[[Any], None] = print

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": {"a": {"name": "node1", "resources": {"machine": 1}}, "b": {"name": "b", "resources": {}}}}

    def subscribe_topic(self, topic: str, handler: Callable[[Any], None]) -> None:
        self._handler = handler

    def submit(self, function: object, message: dict[str, Any], **how: Any) -> Future:
        assert (how["resources"], how["workers"]) == ({"machine": 1}, None)
        block = message["block"]
        self._tries[block] = self._tries.get(block, 0) + 1
        told, end = self._play(block, self._tries[block])
        for one in told:
            self._handler((0.0, {"block": block, **one}))
        return Future(end)


def played(tmp_path: Path, play: Any) -> tuple[Campaign, list[str], Home]:
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    said = list[str]()
    home = Home(tmp_path / "whole")
    asked = order(home.path)
    (home.path / BLOCKS).mkdir(parents=True)
    campaign = Campaign(Client(play), asked, home, said.append, check=lambda: None, wants_stop=threading.Event().is_set)
    campaign.run(asked.blocks())
    return campaign, said, home


def lost() -> Exception:
    from distributed.scheduler import KilledWorker

    return KilledWorker("key", None, 0)


def result(tmp_path: Path, name: str, host: str = "node9") -> dict[str, Any]:
    block = next(one for one in order(tmp_path / "whole").blocks() if one.name == name)
    sent = left(tmp_path / f"{name}-{host}", block)
    return {"code": 0, "output": "", "archive": sent, "host": host, "facts": {"machine": {}, "idle_share": 0.0}}


def test_a_block_whose_host_is_lost_is_repeated_and_one_that_loses_two_is_suspected(tmp_path: Path) -> None:
    first, second = (block.name for block in order(tmp_path / "whole").blocks())

    def play(name: str, number: int) -> tuple[list[dict[str, Any]], object]:
        begun = [{"begun": True, "host": f"node{number}"}, {"host": f"node{number}", "cells": [f"cell-{number}"]}]
        return begun, lost() if name == first or number == 1 else result(tmp_path, name)

    campaign, said, home = played(tmp_path, play)
    doomed, saved = campaign.lots[first], campaign.lots[second]
    assert (doomed.done, doomed.lost, doomed.suspected) == (False, ["node1", "node2"], ["cell-1", "cell-2"])
    assert (saved.done, saved.lost, saved.suspected) == (True, ["node1"], ["cell-1"])
    assert any("is not tried again; suspected: cell-1, cell-2" in line for line in said)
    told = json.loads((home.path / "hosts.json").read_text())
    assert told["blocks"][first]["lost"] == ["node1", "node2"]
    assert told["blocks"][second]["host"] == "node9"


def test_a_block_that_had_not_begun_on_a_lost_host_is_not_suspected(tmp_path: Path) -> None:
    def play(name: str, number: int) -> tuple[list[dict[str, Any]], object]:
        return [], lost() if number < 5 else result(tmp_path, name)

    campaign, _, _ = played(tmp_path, play)
    assert [(lot.done, lot.lost) for lot in campaign.lots.values()] == [(True, []), (True, [])]


def test_a_block_that_fails_or_cannot_be_read_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    first, second = (block.name for block in order(tmp_path / "whole").blocks())

    def play(name: str, number: int) -> tuple[list[dict[str, Any]], object]:
        bad = {"code": 5, "output": "error: no\x1b[31m tool", "archive": b"", "host": "node1", "facts": {}}
        return [], bad if name == first else {**result(tmp_path, name), "archive": b"junk"}

    campaign, said, home = played(tmp_path, play)
    assert "exit 5 on node1" in campaign.lots[first].failed
    assert "\x1b" not in "".join(said)
    assert "cannot be read" in campaign.lots[second].failed
    assert home.merged(order(home.path).blocks()) == []


def test_a_scheduler_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "status", "closed")
    with pytest.raises(HarnessError, match="the scheduler is gone"):
        played(tmp_path, lambda name, number: ([], lost()))
