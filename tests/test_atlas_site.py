"""The pages of engines: made of the atlas alone, each number beside the records that it was counted from, each link alive."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

from harness.atlas import engines, site, stored
from harness.atlas.entries import Entry
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from tests.doc_pages import DOCS, ROOT
from tests.links import LINK, anchors
from tests.test_docs import hooks

ATLAS = stored.shipped()
MEASURED = sorted({one.cell.backend for one in ATLAS.entries})
NUMBER = re.compile(r"^\d[\d.]*$")
FORK = Cell(backend="torch", pool="prefork", concurrency=2, call="direct")


def page(*entries: Entry, backend: str = "torch", **more: dict[str, str]) -> str:
    return site.page(backend, stored.Atlas(runs={}, entries=entries, **more))


def entry(cell: Cell = FORK, **outcomes: int) -> Entry:
    counts = {Outcome(name): count for name, count in outcomes.items()}
    return Entry(cell=cell, releases=(("torch", "2.13"),), outcomes=counts, causes={}, runs=("results/full",))


def section(text: str, heading: str) -> str:
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a page's tables without their heads."""
    lines = [line.strip() for line in text.splitlines()]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for before, line in zip(["", *lines], lines, strict=False) if line.startswith("|") and before.startswith("|")
        if not set(line) <= set("|- :")
    ]  # fmt: skip


def test_there_is_a_page_of_each_backend_and_the_index_leads_to_all() -> None:
    made = hooks().engine_pages()
    assert set(made) == {f"engines/{name}.md" for name in {*engines.summaries(), *MEASURED}}
    assert set(LINK.findall(site.index(ATLAS))) == set(made)
    assert "<!-- made: engines -->" in (DOCS / "engines.md").read_text()


@cache
def anchors_of(name: str) -> set[str]:
    return anchors(ROOT / name)


@pytest.mark.parametrize("backend", site.names(ATLAS))
def test_every_link_of_a_page_leads_to_a_file_of_the_repository_and_to_an_anchor_in_it(backend: str) -> None:
    for target in set(LINK.findall(site.page(backend, ATLAS))):
        path, _, anchor = target.partition("#")
        file = (DOCS / "engines" / path).resolve()
        assert file.is_file(), target
        assert not anchor or anchor in anchors_of(file.relative_to(ROOT).as_posix()), target


@pytest.mark.parametrize("backend", MEASURED)
def test_every_number_of_a_table_stands_beside_a_link_to_its_records(backend: str) -> None:
    found = rows(site.page(backend, ATLAS))
    assert len(found) > 10
    assert [row for row in found if any(map(NUMBER.match, row)) and "](../../results/" not in row[-1]] == []


@pytest.mark.parametrize("backend", MEASURED)
def test_the_counts_of_a_page_are_those_of_the_atlas(backend: str) -> None:
    mine = [one for one in ATLAS.entries if one.cell.backend == backend]
    text = site.page(backend, ATLAS)
    placed = rows(section(text, "Where to load the model"))
    assert sum(int(row[2]) for row in placed) == sum(one.judged for one in mine)
    assert sum(int(row[3]) for row in placed) == sum(one.ok for one in mine)
    assert re.search(rf"\n\n{sum(one.judged for one in mine)} trials (from|on) 2026-", text)
    costs = rows(section(text, "What it costs"))
    assert len(costs) == sum(len(one.costs) for one in mine if site._is_usual(one.cell))


def test_what_hangs_is_told_with_its_interval_and_what_never_failed_with_its_count() -> None:
    text = page(
        entry(ok=30), entry(replace(FORK, placement="import"), hung=9, ok=1), entry(replace(FORK, pool="threads"), errors=3)
    )
    assert "no trial failed in `prefork` (30 trials); some failed in `threads` (3 of 3 raised errors)." in text
    assert "What failed in `prefork`: loaded at import: 9 of 10 hung." in text
    told = section(text, "What hangs, and what else fails")
    assert "| `prefork-c2+-import-direct` | 9 of 10 hung (55 % - 100 %) |" in told
    assert told.index("hung") < told.index("raised errors")
    assert "No kind of trial was measured both" in section(text, "Which threads")


def test_engine_threads_are_compared_only_where_both_were_measured() -> None:
    limited = replace(FORK, placement="import", engine_threads="1x1")
    text = page(entry(replace(limited, engine_threads="auto"), hung=3), entry(limited, ok=3), entry(ok=5))
    assert [row[3:6] for row in rows(section(text, "Which threads"))] == [["`auto`", "3", "0"], ["`1x1`", "3", "3"]]


def test_what_was_neither_ok_nor_a_failure_is_told_and_plain_loads_come_first() -> None:
    text = page(
        entry(replace(FORK, parent="build"), hung=1), entry(ok=5, slow=1), entry(replace(FORK, placement="import"), ok=1)
    )
    placed = rows(section(text, "Where to load the model"))
    assert [row[1].partition(",")[0] for row in placed] == ["loaded at import", *["loaded in the first task"] * 2]
    assert placed[1][2:5] == ["6", "5", "1 slow"]
    assert "after the main process built" in placed[2][1]


def test_an_engine_that_nobody_could_measure_says_why_and_claims_nothing() -> None:
    text = page(skipped={"torch": "no <wheel> for | this"})
    assert "It could not be measured: no \\<wheel\\> for \\| this. Nothing is claimed of it here." in text
    assert "No trial of it is on record yet." in page()
    assert "## " not in page()


def test_names_from_outside_are_text_on_the_page() -> None:
    text = page(entry(replace(FORK, backend="a<b>"), ok=1), backend="a<b>")
    assert text.startswith("# a\\<b\\> under Celery")
