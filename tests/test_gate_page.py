"""The page and the recipe of gates: their commands parse, and their codes and figures are those of the code."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
import yaml

from harness import cli
from harness.applications.gate.command import CODES, gate
from harness.applications.gate.rule import Rule, Word
from harness.proof.gates import live, page, record, resample
from tests import doc_pages
from tests.doc_pages import DOCS, ROOT

PAGE = DOCS / "how-to" / "gate-a-pull-request.md"
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "recipes" / "gate.yml").read_text())
JOB = RECIPE["jobs"]["gate"]
STEPS = {step["name"]: step["run"] for step in JOB["steps"] if "run" in step}
RESULTS = ROOT / "results" / "gate"
PLANTED = ("nothing", "10 % slower, computing", "10 % slower, waiting")


def parsed(words: list[str]) -> dict[str, Any]:
    """The options of a command line of ours."""
    verb = typer.main.get_command(cli.command_line(["gate"])).commands["gate"]  # type: ignore[attr-defined]
    return dict(verb.make_context("gate", words).params)


def test_the_recipe_calls_the_gate_with_options_that_there_are() -> None:
    assert list(STEPS) == ["install", "gate", "summary", "comment"]
    (line,) = re.findall(r"^harness gate .*?(?= \|\|)", STEPS["gate"].replace("\\\n", " "), re.MULTILINE | re.DOTALL)
    values = {f"${name}": str(value) for name, value in JOB["env"].items()}
    words = [values.get(word, word) for word in shlex.split(line)]
    found = parsed(words[2:])
    assert (found["app_"], found["task"]) == ("proj.tasks:app", "proj.tasks.predict")
    assert str(found["history"]) == "gate-history.jsonl"


def test_the_recipe_fetches_the_base() -> None:
    (checkout,) = [one for one in JOB["steps"] if str(one.get("uses")).startswith("actions/checkout")]
    assert checkout["with"]["fetch-depth"] == 0


@pytest.mark.parametrize(("said", "left"), [(0, 0), (24, 24), (25, 0), (3, 3)])
def test_the_recipe_fails_for_what_is_worse_and_for_errors_and_warns_if_nothing_can_be_said(
    tmp_path: Path, said: int, left: int
) -> None:
    (tmp_path / "harness").write_text(f"#!/bin/sh\nexit {said}\n")
    (tmp_path / "harness").chmod(0o755)
    ran = subprocess.run(
        ["bash", "-e", "-c", STEPS["gate"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == left
    assert ("::warning::" in ran.stdout) is (said == 25)


def test_the_page_has_the_codes_and_the_limits_of_the_code() -> None:
    rows = doc_pages.rows(PAGE, "| exit code | decision | it means |")
    assert {row[1]: int(row[0]) for row in rows} == {word.value: int(code) for word, code in CODES.items()}
    text = PAGE.read_text()
    assert f"({Rule().tolerance * 100:g} %)" in text
    assert f"({Rule().matters * 100:g} %)" in text
    usual = inspect.signature(gate).parameters
    assert usual["tolerance"].default == Rule().tolerance * 100
    assert usual["matters"].default == Rule().matters * 100


def made_of_pairs() -> pd.DataFrame:
    """The rows of the table that are not of live gates."""
    table = pd.read_csv(RESULTS / "gates.csv")
    return table[~table["kind"].str.startswith("live")]


def test_the_table_is_that_of_the_recorded_pairs_and_the_rule_of_today() -> None:
    """A part of it, made again: with fewer gates its shares lie near those on record."""
    kinds = resample.kinds(pd.read_csv(RESULTS / "pairs.csv")) | resample.modelled()
    table = made_of_pairs()
    assert set(table["kind"]) == set(kinds)
    assert set(table["planted"]) == set(resample.PLANTED)
    again = {(row.kind, row.planted): row for row in resample.rows(kinds, gates=12)}
    for row in table.to_dict("records"):
        found = again[row["kind"], row["planted"]]
        recorded = row["worse"] / row["gates"]
        if recorded in (0.0, 1.0):
            assert found.worse / found.gates == pytest.approx(recorded, abs=0.17), row
    assert (RESULTS / "gates.md").read_text().count("\n| made up") >= len(resample.SPREADS) * len(resample.PLANTED)


def test_ten_live_gates_of_each_kind_are_on_record_and_were_right() -> None:
    lines, table = pd.read_csv(RESULTS / "live.csv"), pd.read_csv(RESULTS / "gates.csv")
    rows = {(row["kind"], row["planted"]): row for row in table[table["kind"].str.startswith("live")].to_dict("records")}
    for (how, planted), found in lines.groupby(["how", "planted"]):
        assert rows.pop((f"live, {how}", planted))["gates"] == len(found)
        assert (found["word"] == ("passes" if planted == "nothing" else "worse")).all()
    assert not rows
    at_once = lines[lines["how"] == "at once"]
    assert at_once["planted"].value_counts().ge(10).all()
    assert set(at_once["planted"]) == {told for told in live.PLANTED.values() if "waiting" not in told}
    assert set(at_once["load"]) == set(record.LOADS)


def test_what_no_bound_is_kept_for_is_said_on_the_page_of_the_table() -> None:
    table = pd.read_csv(RESULTS / "gates.csv")
    assert (RESULTS / "gates.md").read_text().count("**no**") == (~table["kept"]).sum()
    like = table[table["planted"] == "nothing"]
    assert like["worse"].le(page.MOST_FALSE * like["gates"]).all(), "A/A"
    assert table[table["planted"] == "a hang"]["kept"].all()


def test_a_rule_that_looks_again_and_again_at_plain_intervals_would_not_keep_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.certainty import sequential
    from harness.certainty.intervals import t_quantile

    monkeypatch.setattr(sequential, "half_width", lambda count, _: t_quantile(count - 1) / count**0.5)
    monkeypatch.setattr(resample, "PLANTED", {"nothing": (0.0, resample.COMPUTES)})
    found = resample.rows({"made up": resample.modelled()["made up, 10 % and 5 %"]}, gates=200)
    assert sum(row.worse for row in found) / 200 > page.MOST_FALSE
    assert Word.WORSE in CODES


def test_the_figures_of_the_page_are_those_of_the_table() -> None:
    table = made_of_pairs().set_index(["kind", "planted"])
    shown = doc_pages.rows(
        PAGE, "| pairs of trials | nothing planted: *worse* | 10 % slower, it computes | 10 % slower, it waits |"
    )
    made = [
        [kind, *(f"{table.loc[kind, planted]['worse'] / table.loc[kind, planted]['gates']:.1%}" for planted in PLANTED)]
        for kind in dict.fromkeys(kind for kind, _ in table.index)
    ]
    assert [[cell.replace(" %", "%") for cell in row] for row in shown] == [
        [cell.replace(" %", "%") for cell in row] for row in made
    ]
