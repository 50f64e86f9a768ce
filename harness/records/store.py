"""A run's folder on disk: append records as trials end, read them back, tell what is missing.

`trials.jsonl` is only ever appended to, one flushed and synced line a trial, so a killed run loses at most the trial
it was in. `run.json` and `cells.csv` are replaced whole, by rename. In a packed folder (`harness.run.packing`) the records
lie in `trials.jsonl.xz` (`.gz` in folders that were packed before); later ones are appended to a `trials.jsonl` beside it.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import json
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from harness.errors import BadInput, CannotWrite
from harness.machine import identity
from harness.records.record import TrialRecord, from_line, to_line

LEAST_FREE_BYTES = 200 * 1024 * 1024
LOCK = ".lock"
RECORDS, PACKED_RECORDS, PACKED_BEFORE = "trials.jsonl", "trials.jsonl.xz", "trials.jsonl.gz"
#: what tells a folder of ours from anybody's
OURS = (RECORDS, PACKED_RECORDS, PACKED_BEFORE, "contracts.csv", "findings.csv", "gate.json")
NO_RECORDS = "name the folder of a run, such as results/quick; 'harness run' and 'harness probe' write them"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
#: what the kernel's errors of writing mean to a reader; others are told in its own words
WHY = {
    errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota of this user is used up",
    errno.EROFS: "the file system is read-only", errno.EACCES: "this user has no right to write there",
    errno.EPERM: "this user has no right to write there", errno.ENOTDIR: "a part of the path is a file, and no folder",
    errno.EEXIST: "it is a file, and no folder", errno.EISDIR: "it is a folder, and no file",
    errno.ENOENT: "its folder does not exist, and was not made",
}  # fmt: skip
ELSEWHERE = "name a place that you can write to, for a run with --out"


def now() -> str:
    """This moment as records and headers have it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def current(records: Sequence[TrialRecord]) -> dict[tuple[str, int], TrialRecord]:
    """The newest record of each (cell id, trial), without those of an earlier plan for the same cell: two settings make no one
    row."""
    newest = {record.cell_id: record.asked.plan_key for record in records}
    latest = {(record.cell_id, record.trial): record for record in records}
    return {key: record for key, record in latest.items() if record.asked.plan_key == newest[record.cell_id]}


def check_machine(folder: RunFolder) -> None:
    """Raise BadInput where what is in the folder was made on another machine: figures of two machines make no one run."""
    if folder.holds_ours and (before := folder.read_json("run.json").get("machine")):
        differs = identity.differ(before, identity.facts())
        if differs:
            what = "trials" if folder.has_trials else "answers"
            raise BadInput(
                f"the {what} in {folder.path} were made on another machine: {differs}",
                remedy="name another --out, or set them aside with --fresh",
            )


class RunFolder:
    """One `results/<run>` folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials_path = path / RECORDS
        self.moved_to: Path | None = None

    @property
    def packed_path(self) -> Path:
        """Of the packed records, if there are any."""
        names = (PACKED_RECORDS, PACKED_BEFORE)
        return next((self.path / name for name in names if (self.path / name).exists()), self.path / PACKED_RECORDS)

    @property
    def holds_ours(self) -> bool:
        """Whether something is in it that a verb of ours has measured."""
        return any((self.path / name).exists() for name in OURS)

    @contextmanager
    def opened(self, *, fresh: bool = False) -> Iterator[RunFolder]:
        """Make the folder and hold it: two drivers must not write to one run. `fresh` moves what is there to a folder
        named after now (`moved_to`), once nobody else holds it."""
        with ExitStack() as held:
            held.enter_context(self._lock())
            if fresh and self.holds_ours:
                self.moved_to = self.path.with_name(f"{self.path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S}")
                with writing(self.path):
                    self.path.rename(self.moved_to)
                held.enter_context(self._lock())
            self._mend()
            yield self

    def _lock(self) -> IO[str]:
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / LOCK, "w")  # noqa: SIM115 - the caller holds and closes it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise BadInput(
                f"another run is writing to {self.path}", remedy="wait for it to end, or name another --out"
            ) from error
        return lock

    @property
    def has_trials(self) -> bool:
        return self.trials_path.exists() or self.packed_path.exists()

    @property
    def records_name(self) -> str:
        """The file in which a reader finds a trial's line: the packed one only where there is no other."""
        return (self.packed_path if self.packed_path.exists() and not self.trials_path.exists() else self.trials_path).name

    def records(self) -> list[TrialRecord]:
        """All whole records, oldest first."""
        return [record for line in self.lines() if (record := from_line(line)) is not None]

    def lines(self) -> list[str]:
        """The lines that hold the records: the packed ones, then those that were appended since."""
        return [*_packed_lines(self.packed_path), *_lines(self.trials_path)]

    def latest(self) -> dict[tuple[str, int], TrialRecord]:
        """The newest record of each (cell id, trial)."""
        return {(record.cell_id, record.trial): record for record in self.records()}

    def current(self) -> dict[tuple[str, int], TrialRecord]:
        """See `current`, of all records."""
        return current(self.records())

    def trials(self) -> list[TrialRecord]:
        """The `current` records. Raises BadInput where there are none."""
        if not (found := list(self.current().values())):
            raise BadInput(f"there are no records in {self.path}", remedy=NO_RECORDS)
        return found

    def append(self, record: TrialRecord) -> None:
        with writing(self.path), open(self.trials_path, "a") as file:
            file.write(to_line(record))
            file.flush()
            os.fsync(file.fileno())

    def write_header(self, **told: Any) -> None:
        """`run.json`: the machine, when it began, and what is told; what is completed later keeps its start."""
        started = self.read_json("run.json").get("started") or now()
        self.write_json("run.json", {"machine": identity.facts(), "started": started, **told})

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        self.replace(name, json.dumps(data, indent=2, sort_keys=True) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """What `write_json` wrote; {} where there is nothing that can be read."""
        try:
            data = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def rewrite(self, records: Iterable[TrialRecord]) -> None:
        """Put these records in the place of all others."""
        self.replace(RECORDS, "".join(map(to_line, records)))
        self.packed_path.unlink(missing_ok=True)

    def pack(self, lines: Iterable[str]) -> None:
        """Put these lines in the place of what was packed. The same ones give the same bytes."""
        before = self.packed_path
        self.replace_bytes(PACKED_RECORDS, lzma.compress("".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME))
        if before.name != PACKED_RECORDS:
            before.unlink(missing_ok=True)

    def replace(self, name: str, text: str) -> None:
        """Write a whole file, or leave the old one as it was."""
        with writing(self.path):
            temporary = self.path / f".{name}.new"
            temporary.write_text(text)
            temporary.replace(self.path / name)

    def replace_bytes(self, name: str, data: bytes) -> None:
        """Like `replace`, and on disk before this returns: what it stands for may be removed then."""
        with writing(self.path):
            temporary = self.path / f".{name}.new"
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)

    def _mend(self) -> None:
        """End a torn last line, so that the next record starts on a line of its own."""
        if self.trials_path.exists() and (data := self.trials_path.read_bytes()) and not data.endswith(b"\n"):
            with writing(self.path), open(self.trials_path, "ab") as file:
                file.write(b"\n")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def _packed_lines(path: Path) -> list[str]:
    """Raises BadInput where the file is damaged: what cannot be read must not seem never to have been."""
    try:
        unpack = gzip.decompress if path.name == PACKED_BEFORE else lzma.decompress
        return unpack(path.read_bytes()).decode().splitlines()
    except FileNotFoundError:
        return []
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise BadInput(f"{path} cannot be read: {error}", remedy="fetch it again, from where the run was taken") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing right into an error that says so."""
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def room(path: Path) -> Iterator[None]:
    """Turn a disk that fills up meanwhile, whatever was being written, into an error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> CannotWrite:
    why = WHY.get(error.errno or 0, error.strerror or str(error))
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    first = "free some disk space, or name another folder with --out" if full else ELSEWHERE
    return CannotWrite(f"cannot write to {path}: {why}", remedy=f"{first}; records written so far are kept")


def check_space(path: Path) -> None:
    """Refuse to begin if the records cannot be written, or would not fit. Raises CannotWrite."""
    existing = next(parent for parent in [path, *path.absolute().parents] if parent.exists())
    disk = os.statvfs(existing)
    if not existing.is_dir():
        raise CannotWrite(f"cannot write to {path}: {existing} is a file, and no folder", remedy=ELSEWHERE)
    if disk.f_flag & os.ST_RDONLY:
        raise CannotWrite(f"cannot write to {path}: {WHY[errno.EROFS]}", remedy=ELSEWHERE)
    if not disk.f_blocks:
        raise CannotWrite(f"cannot write to {path}: no disk is behind {existing}", remedy=ELSEWHERE)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CannotWrite(f"cannot write to {path}: {existing}: {WHY[errno.EACCES]}", remedy=ELSEWHERE)
    free = disk.f_bavail * disk.f_frsize
    if free < LEAST_FREE_BYTES:
        raise CannotWrite(
            f"only {free // 2**20} MiB are free for {path}, {LEAST_FREE_BYTES // 2**20} MiB are needed",
            remedy="free some disk space, or name another folder with --out",
        )
