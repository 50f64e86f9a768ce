"""What hosts have left, at home: a folder a block, and one run of all blocks beside them (`merging`).

`blocks/NAME` is there as soon as a block has ended well, whole or not at all: it is unpacked beside its place and renamed. So a
killed campaign loses nothing that ended, and the same command goes on with the others. `hosts.json` says which host ran what.
"""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.records.record import to_line
from harness.records.store import RunFolder
from harness.run import merging
from harness.run.hosts import calibration
from harness.run.hosts.order import Block
from harness.run.merging import Merged

BLOCKS, HOSTS_FILE, HEARD = "blocks", "hosts.json", "heard.jsonl"
MOST_BYTES = 4 << 30  # unpacked; a block that leaves more is no block of ours
MERGED = ("trials.jsonl", "trials.jsonl.xz", "trials.jsonl.gz", "run.json", "cells.csv", "diagnoses.md")
HOST = "host-"  # how the folders begin of hosts that have each run a copy
MERGED_FOLDERS = (*merging.FOLDERS, f"{merging.MACHINE}*", f"{HOST}*")


class Home:
    """The run's folder, where blocks come together."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, block: Block) -> Path:
        return self.path / BLOCKS / block.name

    def holds(self, block: Block) -> bool:
        return self.place(block).is_dir()

    def host_of(self, block: Block) -> str:
        """The host that has run a block which is here."""
        return str(RunFolder(self.place(block)).read_json("run.json").get("host", ""))

    def outcomes(self, block: Block) -> set[str]:
        """How the trials of a block that is here ended."""
        return {str(record.outcome) for record in RunFolder(self.place(block)).latest().values()}

    def put_aside(self, block: Block) -> None:
        """Make room for another run of a block; what is there is kept."""
        place, number = self.place(block), 1
        while (aside := place.with_name(f".{place.name}.{number}")).exists():
            number += 1
        place.rename(aside)

    def unpack(self, block: Block, archive: bytes, host: str) -> float | None:
        """A block that has ended, with the host's name in its header; the drift of the host's pace meanwhile, if it is known.

        Raises BadInput if it is no archive of a run.
        """
        place = self.place(block)
        new = place.with_name(f".{place.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        try:
            unpacked(archive, new)
            folder = RunFolder(new)
            if not folder.has_trials:
                raise BadInput("it holds no records")
        except (tarfile.TarError, OSError, EOFError, BadInput) as error:
            shutil.rmtree(new, ignore_errors=True)
            raise BadInput(f"what {host} sent of block {block.name} cannot be read: {error}",
                           remedy="the same command runs the block again") from error  # fmt: skip
        told = folder.read_json(calibration.FILE)
        folder.write_json("run.json", {**folder.read_json("run.json"), "host": host, "calibration": told})
        new.rename(place)
        return calibration.drift(told)

    def merged(self, blocks: Sequence[Block]) -> list[Merged]:
        """One run of the blocks that are here, or one for each kind of machine; of copies, one for each host, for figures of
        several hosts make no one table. None if there is no block yet."""
        here = [block for block in blocks if self.holds(block)]
        if not here:
            return []
        self._clear()
        if all(block.name == block.what for block in blocks):
            return merging.merge([self.place(block) for block in here], self.path)
        hosts = dict[str, list[Path]]()
        for block in here:
            hosts.setdefault(self.host_of(block), []).append(self.place(block))
        return [
            one for host, found in sorted(hosts.items()) for one in merging.merge(found, self.path / f"{HOST}{_plain(host)}")
        ]

    def admit(self) -> None:
        """Raises BadInput if something else lies where the blocks are to become a run: it would be mixed with them."""
        folder = RunFolder(self.path)
        if folder.has_trials and not (self.path / BLOCKS).is_dir():
            raise BadInput(f"{self.path} holds a run that was made on one machine",
                           remedy="name another --out, or set it aside with --fresh")  # fmt: skip

    def _clear(self) -> None:
        """Take away what was merged of blocks before; they are all in `blocks`, and may now be of several kinds of machines."""
        ours = {to_line(record) for path in (self.path / BLOCKS).glob("*/") for record in RunFolder(path).records()}
        for place in (self.path, *self.path.glob(f"{merging.MACHINE}*"), *self.path.glob(f"{HOST}*")):
            if not set(map(to_line, RunFolder(place).records())) <= ours:
                raise BadInput(f"{place} holds records that no block has left", remedy="name another --out")
        for pattern in MERGED_FOLDERS:
            for path in self.path.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
        for name in MERGED:
            (self.path / name).unlink(missing_ok=True)

    def read_hosts(self) -> dict[str, Any]:
        return RunFolder(self.path).read_json(HOSTS_FILE)

    def write_hosts(self, told: Mapping[str, Any]) -> None:
        RunFolder(self.path).write_json(HOSTS_FILE, told)

    def hear(self, line: str) -> None:
        """Keep a record that a host told of before its block ended: should the host be lost, this is what is left of it."""
        with open(self.path / BLOCKS / HEARD, "a") as file:
            file.write(line.rstrip("\n") + "\n")


def _plain(host: str) -> str:
    """A host's name as a part of a folder's."""
    return re.sub(r"[^\w.-]+", "_", host)


def unpacked(archive: bytes, folder: Path) -> None:
    """Its files, below `folder` and nowhere else. Raises TarError, OSError."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as source:
        total = 0
        for member in source:
            total += member.size
            if not member.isfile() or total > MOST_BYTES:
                raise tarfile.TarError(f"{member.name!r} is no file of a run, or too large")
            place = (folder / member.name).resolve()
            if not place.is_relative_to(folder.resolve()):
                raise tarfile.TarError(f"{member.name!r} leads out of the run's folder")
            place.parent.mkdir(parents=True, exist_ok=True)
            with source.extractfile(member) or io.BytesIO() as content, place.open("wb") as file:
                shutil.copyfileobj(content, file)
