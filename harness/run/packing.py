"""`harness pack`: a run's folder in its light form, in place. What people and tests read stays; what only we draw from leaves.

    trials.jsonl       becomes trials.jsonl.xz; a record carries the figures that were computed from its requests on reading,
                       and its evidence names a place on the page
    evidence/          becomes evidence.md, which people read and links lead to, and evidence.tar.xz, which holds every file
    requests/ samples/ leave; latencies.json.xz keeps what `harness.measure.latencies` says

The new files are written first, each by rename, and the old ones removed last, so that a stopped packing loses nothing and is
made good by the next. The same folder gives the same bytes. A run that goes on in a packed folder appends beside the packed
records; packing again puts both together.
"""

from __future__ import annotations

import csv
import io
import lzma
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput
from harness.measure import figures, latencies
from harness.records import evidence, links, store
from harness.records.evidence import Raw
from harness.records.links import Ways
from harness.records.record import TrialRecord, to_line
from harness.records.store import RunFolder
from harness.run import evidence_page
from harness.run.evidence_page import Told

CONTRACTS = "contracts.csv"
PARQUET = ("requests", "samples")
HEAVY = (store.RECORDS, *PARQUET, evidence.FOLDER)
LEAVING = ".evidence.leaving"


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of a folder with all that lies in it; locks and drafts do not count."""

    files: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.bytes / 1e6:.2f} MB in {self.files} file{'' if self.files == 1 else 's'}"


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What packing one folder came to."""

    folder: Path
    before: Size
    after: Size

    def __str__(self) -> str:
        if self.before == self.after:
            return f"{self.folder}: {self.after}, nothing to pack"
        return f"{self.folder}: {self.before} -> {self.after}"


def pack(root: Path) -> list[Saved]:
    """Pack the run in this folder and those below it. Raises BadInput where there is none, or where one is held by a run."""
    found = runs(root)
    if not found:
        raise BadInput(f"{root} holds no run", remedy="name the folder of a run, such as results/quick")
    with ExitStack() as held:
        for folder in found:
            held.enter_context(RunFolder(folder).opened())
        before = {folder: size(folder) for folder in found}
        for folder in found:
            _write(folder)
        _lead_on(root)
        for folder in found:
            _remove(folder)
    return [Saved(folder=folder, before=before[folder], after=size(folder)) for folder in found]


def runs(root: Path) -> list[Path]:
    """The runs' folders at and below a folder, the innermost first: their evidence is named by those around them."""
    known = [path for name in store.OURS for path in root.rglob(name) if path.is_file()]
    found = {path.parent for path in known if not _in_evidence(path.relative_to(root))}
    return sorted(found, key=lambda path: (-len(path.parts), path))


def size(folder: Path) -> Size:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return Size(files=len(sizes), bytes=sum(sizes))


def _write(folder: Path) -> None:
    """All new files of one run, beside the old ones."""
    run = RunFolder(folder)
    if not any((folder / name).exists() for name in HEAVY):
        return
    records = run.records()
    _write_evidence(run, records)
    if kept := latencies.needed(store.current(records).values(), folder):
        run.replace_bytes(latencies.FILE, latencies.to_bytes(kept))
        (folder / latencies.BEFORE).unlink(missing_ok=True)
    if run.has_trials:
        ways = Ways(folder=folder)
        lines = dict.fromkeys(to_line(_light(record, folder, ways)) for record in records)  # twice after a stopped packing
        run.pack(lines)


def _light(record: TrialRecord, folder: Path, ways: Ways) -> TrialRecord:
    """The record with what is computed from its requests on reading, and with the way to its evidence as it will be."""
    return record.changed(
        certainty={"figures": figures.of(record, folder)}, ended={"evidence": ways.light(record.ended.evidence)}
    )


def _write_evidence(run: RunFolder, records: Sequence[TrialRecord]) -> None:
    """The archive and the page: what was packed before, and what lies in the folder, which is newer, trial by trial."""
    loose = evidence.loose(run.path)
    if not loose:
        return
    new = evidence.by_name(loose)
    held = {**evidence.by_name(evidence.packed(run.path)), **new}
    told = {**dict(_of_contracts(run.path)), **dict(_of_records(records))}
    said = {name: evidence.section(run.path, f"{evidence.PAGE}#{evidence.anchor(name)}") for name in held.keys() - new.keys()}
    bodies = {name: said.get(name) or evidence_page.body(held[name], told.get(name)) for name in sorted(held)}
    run.replace_bytes(evidence.ARCHIVE, archive(held))
    run.replace_bytes(evidence.PAGE, evidence_page.page(bodies).encode())


def archive(held: dict[str, Raw]) -> bytes:
    """A tar of these files with nothing in it of when, where and by whom it was made."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(held):
            for path, data in sorted(held[name].items()):
                member = tarfile.TarInfo(f"{evidence.FOLDER}/{name}/{path}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return lzma.compress(text.getvalue(), preset=9)


def _of_records(records: Iterable[TrialRecord]) -> Iterator[tuple[str, Told]]:
    """What the newest record that names a folder of evidence says."""
    for record in records:
        folder = Path(evidence.folder_of(record.ended.evidence))
        if folder.parent == Path(evidence.FOLDER):
            first, support = evidence.label(record.ended.evidence), tuple(record.ended.support)
            yield (
                folder.name,
                Told(
                    outcome=record.outcome.value, reason=record.reason, cause=record.ended.cause, support=support, first=first
                ),
            )


def _of_contracts(folder: Path) -> Iterator[tuple[str, Told]]:
    """What the rows of a table of contracts say of the evidence that they name."""
    if (path := folder / CONTRACTS).is_file():
        for row in csv.DictReader(io.StringIO(path.read_text())):
            if named := evidence.folder_of(row.get(links.COLUMN) or ""):
                yield Path(named).name, Told(outcome=row.get("verdict") or "", reason=row.get("detail") or "")


def _lead_on(root: Path) -> None:
    """Rewrite the pages and tables whose links lead to what leaves."""
    known: dict[Path, frozenset[str]] = {}
    for path in _pages(root):
        before = path.read_bytes().decode("utf-8", "surrogateescape")
        after = links.READERS[path.suffix](before, Ways(folder=path.parent, anchors=known))
        if after != before:
            RunFolder(path.parent).replace_bytes(path.name, after.encode("utf-8", "surrogateescape"))


def _pages(root: Path) -> list[Path]:
    """What people wrote or read; no evidence, which is kept as it is."""
    found = [path for path in sorted(root.rglob("*")) if path.suffix in links.READERS and path.is_file()]
    return [path for path in found if path.name != evidence.PAGE and not _in_evidence(path.relative_to(root))]


def _in_evidence(path: Path) -> bool:
    return not {evidence.FOLDER, LEAVING}.isdisjoint(path.parts)


def _remove(folder: Path) -> None:
    """What the new files stand for, in this order: evidence is never there in part, nor records without their requests."""
    with store.writing(folder):
        shutil.rmtree(folder / LEAVING, ignore_errors=True)
        if (folder / evidence.FOLDER).is_dir():
            (folder / evidence.FOLDER).rename(folder / LEAVING)
        (folder / store.RECORDS).unlink(missing_ok=True)
        for name in PARQUET:
            _remove_parquet(folder / name)
        shutil.rmtree(folder / LEAVING, ignore_errors=True)


def _remove_parquet(folder: Path) -> None:
    """A folder that holds more than that stays."""
    for path in folder.glob("*.parquet"):
        path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
