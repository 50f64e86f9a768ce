"""C6 in prose: what happens inside the engine when a process is forked after it has worked.

The explanation at the head and the foot is ours. Every fact about the run between them is read from its records and from the
evidence that lies beside them: the native stack of the child that hangs, the threads that its parent had, what other
cells did. A fact that is not on record is said to be missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from harness.backends import cookbook
from harness.experiment.matrix import Cell
from harness.observe.stacks import frames_of
from harness.records import evidence
from harness.records.record import TrialRecord
from harness.studies.claims import cases
from harness.studies.claims.cases import Trials

Read = Callable[[str], str | None]  # a path in the run's folder -> its text, None where there is no such file

HEAD = """\
A fork copies the memory of a process, and of its threads only the one that called fork. TensorFlow hands the pieces of a
computation to threads that it starts once for a process, and the caller sleeps until they report back. In a forked child the
queues, the locks and the note that says "the threads are running" are all there; the threads are not. The child puts its work
into a queue that nobody serves, and waits for ever: no error, for nothing has failed, and no CPU time."""

FOOT = """\
So the answer saw the right moment, the fork, and named the wrong thing. It is not the session variable that is stale, and no
child is helped by a session, a graph or a model of its own as long as they are served by the same threads. What helps is a
process that was not forked from one in which the engine had worked: load after the fork, spawn, or threads."""

UNSURE = "The diagnoses of this run do not bear out one explanation. What is on record:"

OPEN_REQUEST = re.compile(r"open: request -?\d+ in process (\d+), thread (\d+)")
MOST_FRAMES = 14
MOST_WIDTH = 110


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Where the thread that runs the request waits: frames from the innermost native one to the first of Python."""

    path: str
    native: tuple[str, ...]
    python: str


def native_wait(record: TrialRecord, read: Read) -> Wait | None:
    """The native frames of the hung request's thread, from the trial's evidence."""
    folder = PurePosixPath(evidence.folder_of(record.ended.evidence))
    opened = OPEN_REQUEST.search(read(str(folder / "requests.txt")) or "")
    if not record.ended.evidence or opened is None:
        return None
    pid, tid = opened.groups()
    path = str(folder / f"stacks-{pid}.txt")
    native: list[str] = []
    for frame in frames_of(read(path) or "", int(tid)):
        if ".py:" in frame:
            return (
                Wait(path=evidence.beside(record.ended.evidence, path), native=tuple(native), python=frame) if native else None
            )
        native.append(re.sub(r"\s*\([^()]*\)$", "", frame)[:MOST_WIDTH])
    return None


def missing_threads(record: TrialRecord, read: Read) -> tuple[str, str] | None:
    """(path, text) of the list of threads that the parent had and the child lacks: the first paragraph of `fork.txt`."""
    path = str(PurePosixPath(evidence.folder_of(record.ended.evidence)) / "fork.txt")
    text = (read(path) or "").strip() if record.ended.evidence else ""
    return (evidence.beside(record.ended.evidence, path), text.partition("\n\n")[0]) if text else None


def story(cells: Sequence[Cell], trials: Trials, backends: Sequence[str], read: Read, *, borne_out: bool) -> str:
    """The Markdown text; `borne_out`: the run's diagnoses agree with our explanation."""
    parts = [HEAD if borne_out else UNSURE, *(text for name in backends for text in _example(name, cells, trials, read))]
    parts += list(_what_the_parent_did(cells, trials, backends))
    parts += list(_own_things(cells, trials, backends))
    return "\n\n".join([*parts, *([FOOT] if borne_out else [])])


def _example(backend: str, cells: Sequence[Cell], trials: Trials, read: Read) -> Iterator[str]:
    """One hung child of a backend, from its evidence."""
    hung = [record for cell in cells if _forked(cell, backend) for record in trials.get(cell.id, ()) if cases.hung(record)]
    if not hung:
        yield f"**{backend}**: no hung child is on record."
        return
    causes = Counter(record.ended.cause or "unknown" for record in hung)
    counted = ", ".join(f"`{cause}` {count} of {len(hung)}" for cause, count in causes.most_common())
    yield f"**{backend}**: hung trials of forked workers on record: {len(hung)}; their diagnoses: {counted}."
    record = hung[0]
    wait = native_wait(record, read)
    if wait is None:
        yield f"`{record.cell_id}`: the native stack of its hung request is missing."
    else:
        frames = "\n".join([*(f"    {frame}" for frame in wait.native[:MOST_FRAMES]), f"    … called from {wait.python}"])
        yield f"The child of `{record.cell_id}` waits here ({evidence.linked(wait.path)}):\n\n{frames}"
    lost = missing_threads(record, read)
    if lost is None:
        yield "The list of the threads that it lacks is missing."
    else:
        lines = "\n".join(f"    {line}" for line in lost[1].splitlines())
        yield f"Threads of its parent that the child lacks ({evidence.linked(lost[0])}):\n\n{lines}"
    if record.ended.support:
        yield f"What the diagnosis rests on: {'; '.join(record.ended.support)}."


def _forked(cell: Cell, backend: str) -> bool:
    return cell.backend == backend and cell.pool == "prefork"


def _what_the_parent_did(cells: Sequence[Cell], trials: Trials, backends: Sequence[str]) -> Iterator[str]:
    """How far the parent may go before its children hang."""
    for backend in backends:
        steps = [cell for cell in cells if cell == Cell(backend=backend, pool="prefork", parent=cell.parent)]
        if steps:
            told = "; ".join(f"{cell.parent}: {cases.told(trials.get(cell.id, ()))}" for cell in steps)
            yield f"On {backend}, by what the parent did with a model of its own, while the child built another one: {told}."


def _own_things(cells: Sequence[Cell], trials: Trials, backends: Sequence[str]) -> Iterator[str]:
    """Whether a new session helps (some backends open one if threads are limited), and whether spawn does."""
    known = set(cells)
    for backend in backends:
        base = Cell(backend=backend, pool="prefork", parent="predict")
        renewed = replace(base, engine_threads="1x1")
        if renewed in known and cookbook.of(backend).opens_session:
            told = cases.told(trials.get(renewed.id, ()))
            yield f"On {backend} a child that opened a *new session* of its own (`{renewed.id}`): {told}."
        spawned = replace(base, pool="prefork-spawn")
        if spawned in known:
            told = cases.told(trials.get(spawned.id, ()))
            yield f"On {backend} the same in children that were spawned, not forked (`{spawned.id}`): {told}."
