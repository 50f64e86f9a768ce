"""The atlas as pages of the docs, one per engine, in Markdown: which pool, where to load, which threads, what fails, and what
it costs.

Made by the build of the site (`docs/hooks.py`), and kept nowhere. Every number stands beside links to the records that it was
counted from. A page lies in `docs/engines`, so the way to the repository's root is ROOT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.atlas import against, answer, engines
from harness.atlas.entries import BAD, SEVERAL, Cost, Entry, added, parts
from harness.atlas.pages import UNKNOWN, versions
from harness.atlas.stored import Atlas
from harness.experiment.matrix import AUTO, PLACEMENTS, Cell
from harness.experiment.pools import POOLS
from harness.places import CHECKOUT
from harness.records import evidence
from harness.records.outcomes import Outcome
from harness.texts import escaped

ROOT = "../.."
MIB = 2**20
Key = TypeVar("Key")
USUAL = Cell(backend="", pool="")  # a cell's usual settings
INTERVAL = "In brackets: the exact (Clopper and Pearson) 95 % interval of the rate."


def names(atlas: Atlas) -> list[str]:
    """The backends that have a page: all that we serve, and all that were measured."""
    return sorted({*engines.summaries(), *(one.cell.backend for one in atlas.entries)})


def index(atlas: Atlas) -> str:
    """The table of all engines, for the page `engines.md` beside their folder."""
    lines = ["| engine | trials | what was measured of `prefork` |", "| --- | ---: | --- |"]
    for backend in names(atlas):
        mine = _of(atlas, backend)
        said = answer.headline(backend, atlas).removeprefix(engines.title(backend)).lstrip(",: ")
        said = said.removeprefix(answer.USUAL).lstrip(",: ")
        lines.append(f"| [{_title(backend)}](engines/{backend}.md) | {_judged(mine)} | {escaped(said)} |")
    return "\n".join(lines)


def page(backend: str, atlas: Atlas) -> str:
    """One engine's page."""
    mine = _of(atlas, backend)
    head = [f"# {_title(backend)} under Celery", _is(backend)]
    if not mine:
        return "\n\n".join([*head, _unmeasured(backend, atlas)]) + "\n"
    text = [
        *head, _short(mine), _measured(mine), *_pools(mine), *_places(mine), *_threads(mine), *_failures(mine), *_costs(mine),
        *_yourself(backend),
    ]  # fmt: skip
    return "\n\n".join(text) + "\n"


def _of(atlas: Atlas, backend: str) -> list[Entry]:
    return [one for one in atlas.entries if one.cell.backend == backend]


def _title(backend: str) -> str:
    return escaped(engines.title(backend))


def _is(backend: str) -> str:
    summary = engines.summaries().get(backend, "")
    return f"The backend `{backend}`{f': {escaped(summary)}' if summary else ''}."


def _unmeasured(backend: str, atlas: Atlas) -> str:
    why = atlas.skipped.get(backend)
    said = f"It could not be measured: {escaped(why)}." if why else "No trial of it is on record yet."
    return f"{said} Nothing is claimed of it here. To measure it on your machine:\n\n{_commands(backend)}"


def _commands(backend: str) -> str:
    return f"```console\n$ harness run engines --select '{backend}-*' --repeat 3\n$ harness recommend results/engines\n```"


def _short(mine: Sequence[Entry]) -> str:
    """What never failed and what did, if the model is loaded in the first task and nobody touches the engine before; and which
    other ways failed in the usual pool."""
    plain = [one for one in mine if _is_plain(one.cell)]
    said = {pool: (answer.failed(group), _judged(group)) for pool, group in _by(plain, lambda one: one.cell.pool)}
    good = [f"`{pool}` ({judged} trials)" for pool, (bad, judged) in said.items() if not bad]
    bad = [f"`{pool}` ({failed})" for pool, (failed, _) in said.items() if failed]
    lines = [f"no trial failed in {', '.join(good)}" if good else "", f"some failed in {', '.join(bad)}" if bad else ""]
    text = "; ".join(filter(None, lines)) or "nobody has measured that"
    others = [one for one in mine if one.cell.pool == answer.USUAL and not _is_plain(one.cell)]
    groups = _by(sorted(others, key=_place_rank), lambda one: engines.loaded(one.cell))
    ways = {way: answer.failed(group) for way, group in groups}
    worse = "; ".join(f"{way}: {failed}" for way, failed in ways.items() if failed)
    return (
        '!!! info "In short"\n\n'
        f"    If the model is loaded in the first task, and the main process does not use the engine: {text}."
        + (f"\n\n    What failed in `{answer.USUAL}`: {worse}." if worse else "")
    )


def _is_plain(cell: Cell) -> bool:
    return (cell.placement, cell.parent, cell.max_tasks) == (USUAL.placement, "nothing", 0)


def _measured(mine: Sequence[Entry]) -> str:
    days = sorted(day for one in mine for day in one.days if day)
    when = "" if not days else f" on {days[0]}" if days[0] == days[-1] else f" from {days[0]} to {days[-1]}"
    known = "; ".join(dict.fromkeys(versions(one) for one in mine if one.cell.pool not in ("gevent", "eventlet")))
    return (
        f"{_judged(mine)} trials{when}, each a fresh worker, are counted here: {_runs(mine)}. Versions: {escaped(known)}. They "
        "were measured on other machines than yours: outcomes are those of the versions, paces are not yours."
    )


def _pools(mine: Sequence[Entry]) -> Iterator[str]:
    yield "## Which pool"
    yield "The model is loaded in the first task, and the main process never uses the engine. All calls and models together."
    rows = [
        [f"`{pool}`", *_told(group)]
        for pool, group in _by([one for one in mine if _is_plain(one.cell)], lambda one: one.cell.pool)
    ]
    yield _table(("pool", "trials", "ok", "not ok", "records"), rows)


def _places(mine: Sequence[Entry]) -> Iterator[str]:
    yield "## Where to load the model"
    rows = [
        [f"`{pool}`", escaped(engines.loaded(group[0].cell)), *_told(group)]
        for (pool, *_), group in _by(
            sorted(mine, key=_place_rank), lambda one: (one.cell.pool, one.cell.placement, one.cell.parent)
        )
    ]
    yield _table(("pool", "the model is", "trials", "ok", "not ok", "records"), rows)


def _threads(mine: Sequence[Entry]) -> Iterator[str]:
    """Kinds that were measured with engine threads as the library chooses, and limited."""
    yield "## Which threads"
    limited = {replace(one.cell, engine_threads=AUTO) for one in mine if one.cell.engine_threads != AUTO}
    both = [one for one in mine if replace(one.cell, engine_threads=AUTO) in limited]
    both.sort(key=_place_rank)
    groups = _by(both, lambda one: (one.cell.pool, engines.loaded(one.cell), one.cell.call, one.cell.engine_threads))
    if not groups:
        yield "No kind of trial was measured both with the engine's own choice of threads and with a limit."
        return
    yield "Kinds that were measured both with the engine's own choice (`auto`) and with a limit (INTRA x INTER)."
    rows = [
        [f"`{pool}`", escaped(loaded), f"`{call}`", f"`{threads}`", *_told(group)]
        for (pool, loaded, call, threads), group in groups
    ]
    yield _table(("pool", "the model is", "call", "threads", "trials", "ok", "not ok", "records"), rows)


def _failures(mine: Sequence[Entry]) -> Iterator[str]:
    yield "## What hangs, and what else fails"
    failing = [one for one in mine if against.of_entry(one)]
    if not failing:
        yield "Nothing failed."
        return
    yield f"Each kind that failed at least once. {INTERVAL}"
    rows = [
        [f"`{'-'.join(parts(one.cell))}`", escaped(", ".join(map(str, against.of_entry(one)))), _causes(one), _evidence(one)]
        for one in sorted(failing, key=lambda one: (_gravity(one), one.cell, one.releases))
    ]
    yield _table(("kind", "what failed", "cause", "record and evidence"), rows)


def _costs(mine: Sequence[Entry]) -> Iterator[str]:
    yield "## What it costs"
    known = [(one, cost) for one in mine if _is_usual(one.cell) for cost in one.costs]
    if not known:
        yield "No figure of a trial that ended ok is on record."
        return
    yield (
        "Medians over trials that ended ok, on the machine of each run, with usual settings and four requests in flight. They "
        "compare within one run alone. *MiB* is the worker with its children, at its peak."
    )
    known.sort(key=lambda each: _pool_rank(each[0].cell.pool))
    head = ("pool", "at once", "placement", "call", "model", "batch", "req/s", "p50 ms", "MiB", "trials", "record")
    first = [each for each in known if _is_shown(each[0].cell, each[1])]
    others = [each for each in known if each not in first]
    if first:
        yield _table(head, [_cost(*each) for each in first])
    if others:
        table = _table(head, [_cost(*each) for each in others]).replace("\n", "\n    ")
        yield f'??? note "{len(others)} figures of other placements, numbers at once and batches"\n\n    {table}'


def _is_shown(cell: Cell, cost: Cost) -> bool:
    """Two at once, one row per request, loaded where it is safest: what most readers compare; the others are folded up."""
    return _is_plain(cell) and cell.batch == 1 and cost.concurrency == (1 if cell.pool == "solo" else SEVERAL)


def _is_usual(cell: Cell) -> bool:
    free = ("backend", "pool", "concurrency", "placement", "call", "workload", "batch")
    return all(value == getattr(USUAL, name) for name, value in vars(cell).items() if name not in free)


def _cost(one: Entry, cost: Cost) -> list[str]:
    cell = one.cell
    return [
        f"`{cell.pool}`", str(cost.concurrency), f"`{cell.placement}`", f"`{cell.call}`", f"`{cell.workload}`", str(cell.batch),
        f"{cost.throughput_per_s:g}", f"{cost.p50_s * 1e3:.4g}" if cost.p50_s else "–",
        f"{cost.peak_pss_bytes / MIB:.0f}" if cost.peak_pss_bytes else "–", str(cost.trials), _run(cost.run),
    ]  # fmt: skip


def _yourself(backend: str) -> Iterator[str]:
    yield "## Ask, and measure yourself"
    yield f"```console\n$ harness atlas {backend} prefork\n$ harness atlas {backend} --json\n```"
    yield _commands(backend)
    yield "[Probe my application](../how-to/probe-my-app.md) does that with your own task and model."


def _by(found: Iterable[Entry], key: Callable[[Entry], Key]) -> list[tuple[Key, list[Entry]]]:
    """In groups: by pool as the pools are listed, then as the entries come."""
    groups: dict[Key, list[Entry]] = {}
    for one in sorted(found, key=lambda one: _pool_rank(one.cell.pool)):
        groups.setdefault(key(one), []).append(one)
    return list(groups.items())


def _place_rank(one: Entry) -> tuple[bool, int]:
    """As a reader asks: what the model's place does first, then what the main process did beside it."""
    places = PLACEMENTS.index(one.cell.placement) if one.cell.placement in PLACEMENTS else len(PLACEMENTS)
    return one.cell.parent != "nothing", places


def _pool_rank(pool: str) -> int:
    return list(POOLS).index(pool) if pool in POOLS else len(POOLS)


def _gravity(one: Entry) -> int:
    return min(BAD.index(word) for word in one.outcomes if word in BAD)


def _causes(one: Entry) -> str:
    return escaped(", ".join(f"{name} {count}" for name, count in sorted(one.causes.items()) if name != UNKNOWN)) or "–"


def _told(group: Sequence[Entry]) -> list[str]:
    """The last cells of a row: how many trials, of them ok, what became of the others, the records."""
    others = [f"{count} {word.value}" for word, count in added(list(group)).items() if word not in (*BAD, Outcome.OK)]
    told = ", ".join(filter(None, [answer.failed(group), *others]))
    return [str(_judged(group)), str(_ok(group)), escaped(told) or "–", _runs(group)]


def _judged(group: Iterable[Entry]) -> int:
    return sum(one.judged for one in group)


def _ok(group: Iterable[Entry]) -> int:
    return sum(one.ok for one in group)


def _runs(group: Iterable[Entry]) -> str:
    return ", ".join(_run(name) for name in sorted({name for one in group for name in one.runs})) or "–"


def _run(name: str) -> str:
    """A link to the table of a run, if it is one of this repository's."""
    label = name.removeprefix("results/")
    there = (CHECKOUT / name / "cells.csv").is_file()
    return f"[{label}]({ROOT}/{name}/cells.csv)" if there else label


def _evidence(one: Entry) -> str:
    there = one.evidence and (CHECKOUT / one.evidence.partition("#")[0]).is_file()
    return f"{_runs([one])}; [evidence]({ROOT}/{evidence.href(one.evidence)})" if there else _runs([one])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)
