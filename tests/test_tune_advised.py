"""The search and the advice on it name one configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from harness.decide.advise import candidates, pages, ranking
from harness.decide.tune import screen, tune
from harness.decide.tune.tune import TuneAnswer
from harness.experiment.matrix import Cell
from harness.records.record import TrialRecord
from tests.test_advise import FORK, SPAWN, THREADS, trials, written


def searched(folder: Path, best: Cell, *groups: list[TrialRecord]) -> tuple[TuneAnswer, ranking.Advice, str]:
    """What a search with this best says once it is advised on, and what it prints before the advice."""
    known = candidates.read_all([written(folder / "run", *groups)], ())
    (advice,) = ranking.advise(known, ())
    cells = frozenset(one.id for one in known)
    answer = TuneAnswer(
        best=best,
        default=FORK,
        measured=len(cells),
        grid=len(cells),
        stopped="",
        gain=7.0,
        answers=True,
        kept=False,
        cells=cells,
    )
    answer, console = tune.as_advised(answer, advice, known), Console(width=80)
    with console.capture() as printed:
        screen.tuned(console, answer)
    return answer, advice, printed.get()


def test_of_two_that_are_as_fast_the_search_names_the_one_that_is_advised(tmp_path: Path) -> None:
    groups = (trials(FORK, 50, 51, 49), trials(SPAWN, 101, 104, 99, mib=900), trials(THREADS, 100, 102, 98, mib=300))
    answer, advice, printed = searched(tmp_path, SPAWN, *groups)
    assert answer.best == THREADS, "with the smaller memory"
    assert f"best: {THREADS.id} (2.00 times the rows per second of the default, {FORK.id})" in printed
    assert f"use {THREADS.id}" in pages.headline(advice)
    assert SPAWN.id not in printed


def test_if_the_default_is_advised_it_is_the_best_itself(tmp_path: Path) -> None:
    groups = (trials(FORK, 100, 101, 99, mib=300), trials(THREADS, 101, 102, 100, mib=900))
    assert "the default itself is the best" in searched(tmp_path, THREADS, *groups)[2]


def test_a_configuration_that_cannot_be_told_from_the_default_is_not_said_to_be_slower(tmp_path: Path) -> None:
    groups = (trials(FORK, 110, 104, 107, mib=900), trials(THREADS, 101, 104, 106, mib=300))
    printed = searched(tmp_path, FORK, *groups)[2]
    assert f"best: {THREADS.id} (as fast as the default, {FORK.id}, as far as the data show)" in printed


def test_if_nothing_is_advised_the_search_says_what_came_nearest(tmp_path: Path) -> None:
    answer, advice, printed = searched(tmp_path, SPAWN, trials(FORK, hung=2))
    assert advice.shown is None
    assert answer.best == SPAWN
    assert "nothing is known to keep what you ask for; nearest" in printed


def test_if_celerys_overhead_decides_the_search_names_none(tmp_path: Path) -> None:
    answer, advice, _ = searched(tmp_path, SPAWN, trials(FORK, 100, 101, 99), trials(SPAWN, 101, 102, 100))
    alike = replace(advice, best=(), alike=advice.best, overhead="what Celery costs per request decides")
    answer, console = tune.as_advised(answer, alike, []), Console(width=80)
    with console.capture() as printed:
        screen.tuned(console, answer)
    assert printed.get() == "2 of 2 configurations measured (100%)\n"
