"""What people read is true: commands are run or at least parsed, links lead somewhere, the reference names all of the code."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml

from benchmarks.cells import OUTCOME_CODES
from harness import cli, workloads
from harness.environments import descriptions
from harness.errors import Exit
from harness.experiment import matrix
from harness.experiment.experiment import Experiment, names
from harness.experiment.pools import POOLS
from harness.judge import causes
from harness.records.outcomes import GRAVITY, Outcome
from harness.summary.summary import COLUMNS
from tests import doc_pages
from tests.doc_pages import DOCS, PAGES, README, ROOT, Command
from tests.links import anchors, links

MOST_WORDS = 900
READING = frozenset({"list", "show", "recommend", "compare", "report", "atlas", "waterfall"})
READING_WITH = {"claims": "--from-records", "incidents": "--from-records", "tune": "--replay", "run": "--dry-run"}
#: other programs that pages name; what they do is theirs to say
OTHERS = frozenset({"kill", "make", "asv", "pytest", "python", "git", "echo", "export", "grep", "xargs", "$"})
FOLDER = re.compile(r"results/[\w-]+")
ANSWERED = (Exit.DONE, Exit.CHECK_FAILED, Exit.NO_ADVICE)


@cache
def verbs() -> Any:
    return typer.main.get_command(cli.command_line()).commands  # type: ignore[attr-defined]


@cache
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ALL = [command for page in PAGES for command in doc_pages.commands(page)]


def is_cheap(command: Command) -> bool:
    """Whether it only reads, and what it reads is in the repository."""
    words = command.words
    reads = command.verb in READING or READING_WITH.get(command.verb, "-") in words or "--help" in words or "--version" in words
    there = all((ROOT / word).exists() for word in words if word.startswith("results/") or word.endswith(".toml"))
    return reads and there and not {"--build", "--model"} & set(words)


def once(commands: Iterator[Command]) -> list[Command]:
    """Each line of a shell once; of those that are shown with output, each output."""
    found = {(command.words, command.shown): command for command in commands}
    return [one for (words, shown), one in found.items() if shown or not any(key[0] == words and key[1] for key in found)]


CHEAP = once(command for command in ALL if is_cheap(command))


def test_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.read_text().split()) <= MOST_WORDS


# Commands


def test_there_are_commands_of_both_kinds() -> None:
    assert len(CHEAP) >= 12
    assert len(ALL) >= 50


@pytest.mark.parametrize("command", CHEAP, ids=str)
def test_a_command_that_only_reads_prints_what_the_page_shows(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in {found for word in command.words for found in FOLDER.findall(word) if (ROOT / found).is_dir()}:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(".lock", "report*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", *command.words[1:]])
    code: object = Exit.DONE
    try:
        cli.main()
    except SystemExit as left:
        code = left.code or Exit.DONE
    said = capsys.readouterr()
    assert code in ANSWERED, said.err
    if command.shown:
        assert doc_pages.matches(command.shown, said.out.splitlines()), f"{command.page.name} shows it otherwise:\n{said.out}"


@pytest.mark.parametrize("command", once(iter(one for one in ALL if one.verb)), ids=str)
def test_every_command_names_a_verb_and_options_that_there_are(command: Command) -> None:
    if not command.verb.startswith("-"):
        rest = [word for word in command.words[2:] if word != "--help"]
        if rest == list(command.words[2:]):
            verbs()[command.verb].make_context(command.verb, rest)  # raises if it does not parse
        assert command.verb in verbs()


def test_output_is_shown_of_commands_only_that_a_test_runs() -> None:
    assert [f"{one.page.name}: {one}" for one in ALL if one.shown and not is_cheap(one)] == []


def test_every_other_program_is_known_and_every_target_of_make_is_there() -> None:
    called = {Path(one.words[0]).name for one in ALL if not one.verb}
    assert called <= OTHERS
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {one.words[1] for one in ALL if one.words[0] == "make"} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_in_the_pages_can_be_read(page: Path) -> None:
    for block in doc_pages.blocks(page, "python"):
        ast.parse(block)
    for block in doc_pages.blocks(page, "json"):
        json.loads(block)
    for block in doc_pages.blocks(page, "toml"):
        read = tomllib.loads(block)
        if "cells" in read:
            assert Experiment.model_validate(read).expand()


def test_the_examples_of_what_reads_the_pages_are_true() -> None:
    found = doctest.testmod(doc_pages)
    assert found.attempted >= 2
    assert found.failed == 0


# Links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_of_the_repository_and_to_an_anchor_in_it(page: Path) -> None:
    assert [target for target in links(page) if not _leads(page, target)] == []


def _leads(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return file.is_file() and file.is_relative_to(ROOT) and (not anchor or anchor in _anchors(file))


@cache
def _anchors(file: Path) -> set[str]:
    return anchors(file)


def test_every_page_is_in_the_navigation_and_every_entry_there_is_a_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    named = set(_paths(yaml.safe_load(text)["nav"]))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert there <= named
    assert all((ROOT / name).is_file() for name in named - there)


def _paths(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _paths(one)


# Reference pages hold all of the code


def test_outcomes_are_all_there_the_gravest_first() -> None:
    assert doc_pages.first_cells(DOCS / "reference/outcomes.md", "outcome") == [one.value for one in GRAVITY]
    assert set(GRAVITY) == set(Outcome)


def test_the_codes_that_asv_draws_are_all_there() -> None:
    page = " ".join((DOCS / "how-to/guard-my-repository.md").read_text().split())
    assert [name for name, code in OUTCOME_CODES.items() if f"{code} `{name}`" not in page] == []


def test_causes_are_all_there_as_the_code_lists_them() -> None:
    listed = re.findall(r"^    ([a-z-]+)  ", causes.__doc__ or "", re.MULTILINE)
    assert len(listed) > 10
    assert doc_pages.first_cells(DOCS / "reference/causes.md", "cause") == listed


def test_columns_are_all_there_each_once() -> None:
    text = (DOCS / "reference/columns.md").read_text().partition("## All columns of cells.csv")[2]
    named = [
        name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split(" | ")[0])
    ]
    assert sorted(named) == sorted(COLUMNS)


def test_what_a_cell_may_be_is_all_there() -> None:
    page = DOCS / "reference/cells.md"
    named = {*doc_pages.first_cells(page, "name"), *doc_pages.first_cells(page, "control")}
    assert {*POOLS, *matrix.PLACEMENTS, *matrix.CALLS, *workloads.NAMES, *matrix.CONTROLS} <= named
    assert set(descriptions()) - {"celery"} <= named
    text = page.read_text()
    assert [word for word in (*names(), *matrix.PARENT_DEEDS) if f"`{word}`" not in text] == []


def test_the_page_of_commands_has_every_verb_with_every_option_and_its_help() -> None:
    page = hooks().commands()
    assert re.findall(r"^### harness (\w+)$", page, re.MULTILINE) == list(cli.VERBS)
    for verb in verbs().values():
        section = page.partition(f"### harness {verb.name}\n")[2].partition("\n### ")[0]
        for one in verb.params:
            if one.name != "help":
                assert hooks()._row(one) in section
                assert one.help


@pytest.mark.parametrize("name", ["commands", "record-sections", "settings", "map", "faults"])
def test_what_is_made_from_the_code_says_something_and_stands_in_a_page(name: str) -> None:
    assert len(hooks().MADE[name]().splitlines()) > 5
    assert any(f"<!-- made: {name} -->" in page.read_text() for page in DOCS.rglob("*.md"))


def test_every_field_of_a_record_is_in_the_page_of_records() -> None:
    from harness.records.record import TrialRecord

    made = hooks().record_sections()
    for name, field in TrialRecord.model_fields.items():
        if name != "schema_version":
            section = made.partition(f"### {name}\n")[2].partition("\n##")[0]
            assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(field.annotation.model_fields)  # type: ignore[union-attr]


# The site


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="`make docs` installs what builds the site")
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "reference" / "commands.html").read_text()
    assert "harness recommend" in page
    outside = re.findall(r'<(?:link|script|img)[^>]+(?:href|src)="(https?://[^"]+)"', page)
    assert outside == [], "the site works without a network"
