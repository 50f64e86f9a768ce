"""The page of a run: whatever a run says is text, nothing is asked of anybody, and every cell leads to its evidence."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import harness
from harness import cli
from harness.errors import BadInput, NothingMatches
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, to_line
from harness.records.store import RunFolder
from harness.report import charts, content, excerpts, exports, frames, page
from tests import handmade
from tests.test_advise import FORK, IMPORT, SPAWN, trials

EVIL = "<script>alert(1)</script> </script> & \"quotes\" 'single' \x1b[31m\u202e {{ 7*7 }} <!--"


def made(folder: Path, *groups: list[TrialRecord]) -> Path:
    """A run's folder with evidence for whatever did not end ok."""
    folder.mkdir(parents=True)
    (folder / "trials.jsonl").write_text("".join(to_line(record) for group in groups for record in group))
    header = {
        "experiment": {"name": "tried", "summary": EVIL},
        "machine": {"cores_available": 2, "processor": EVIL},
        "environments": {"tensorflow2": {"interpreter": "3.11", "installed": {"celery": "5.7.0", "keras": EVIL}},
                         "theano": {"missing": EVIL, "remedy": ""}},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(header))
    for group in groups:
        for record in group:
            if record.ended.evidence:
                (folder / record.ended.evidence).mkdir(parents=True, exist_ok=True)
                (folder / record.ended.evidence / "stacks-1.txt").write_text(f"Thread 1\n{EVIL}\n" + "frame\n" * 2000)
                (folder / record.ended.evidence / "worker.log").write_text(EVIL)
    return folder


class Page(HTMLParser):
    """Ids, links, elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.elements.append(tag)
        self.ids += [known["id"]] if known.get("id") else []
        self.links += [known["href"]] if known.get("href") else []
        self.sources += [known["src"]] if known.get("src") else []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    bad = [handmade.changed(one, reason=EVIL, cause="fork-lost-threads", support=[EVIL]) for one in
           trials(IMPORT, 1, end=Outcome.HUNG)]  # fmt: skip
    return made(tmp_path / "run", trials(FORK, 100, 101, 99), trials(SPAWN, 60, 61, 59), bad)


def test_what_a_run_says_is_text(run: Path) -> None:
    text = page.render(content.read(run))
    read = Page(text)
    assert read.elements.count("script") == 3, "the data, the library, our own"
    shown = "".join(read.texts)
    assert "<script>alert(1)</script>" in shown
    assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|\b49\b", shown)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31m" in shown


def test_a_name_with_markup_stays_a_name(tmp_path: Path) -> None:
    evil = replace(FORK, workload="<img src=x onerror=alert(1)>")
    text = page.render(content.read(made(tmp_path / "run", trials(evil, 100, 101))))
    assert "img" not in Page(text).elements
    assert "<img src=x" not in text.replace("\\u003cimg", "")


def test_the_page_asks_nobody_for_anything(run: Path) -> None:
    read = Page(page.render(content.read(run)))
    assert read.sources == []
    assert not {"link", "img", "iframe", "object", "embed"} & set(read.elements)
    assert [link for link in read.links if re.match(r"[a-z]+:|//", link)] == []


def test_every_link_leads_somewhere(run: Path) -> None:
    read = Page(page.render(content.read(run)))
    assert len(read.ids) == len(set(read.ids))
    inner = [link[1:] for link in read.links if link.startswith("#")]
    assert inner
    assert set(inner) <= set(read.ids)
    files = [link for link in read.links if not link.startswith("#")]
    assert {Path(link).name for link in files} == {"stacks-1.txt", "worker.log", "trials.jsonl"}
    assert all((run / link).is_file() for link in files)


def test_the_answer_comes_first_and_a_hang_is_in_the_matrix(run: Path) -> None:
    found = content.read(run)
    assert found.advice[0].best[0].id == FORK.id
    matrix = content.matrix(found)
    assert matrix.rows == (("tensorflow2", "first-task"), ("tensorflow2", "import"))
    assert [outcome for outcome, _ in matrix.at(("tensorflow2", "import"), "prefork")] == ["hung"]
    text = page.render(found)
    assert text.index("use tensorflow2-prefork-c2") < text.index('id="outcomes"') < text.index('id="cells"')


def test_evidence_is_cut_and_says_so(run: Path) -> None:
    (view,) = (one for one in content.read(run).cells if one.outcome == "hung")
    assert [Path(one.path).name for one in view.excerpts] == ["stacks-1.txt", "worker.log"]
    assert view.excerpts[0].cut
    assert len(view.excerpts[0].text) == excerpts.MOST_TEXT
    assert not view.excerpts[1].cut


def test_evidence_outside_the_run_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "stacks.txt").write_text("secret")
    bad = [handmade.changed(one, evidence="../secret") for one in trials(IMPORT, 1, end=Outcome.HUNG)]
    run = made(tmp_path / "run", bad)
    assert [one.excerpts for one in content.read(run).cells] == [()]


def test_a_link_of_a_foreign_run_leads_to_no_file_of_this_machine(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a secret")
    (run / "evidence" / "x" / "stacks-9.txt").symlink_to(tmp_path / "secret.txt")
    assert "a secret" not in page.render(content.read(run))


def test_the_evidence_shown_is_of_the_trial_that_the_row_tells_of(run: Path) -> None:
    stalled = [
        handmade.changed(one, evidence="evidence/y/worker.log", cause="other", trial=2)
        for one in trials(IMPORT, 1, end=Outcome.STALLED)
    ]
    (run / "evidence" / "y").mkdir()
    (run / "evidence" / "y" / "worker.log").write_text("of the stalled one")
    (run / "trials.jsonl").write_text("".join(map(to_line, [*stalled, *RunFolder(run).records()])))
    (view,) = (one for one in content.read(run).cells if one.id == IMPORT.id)
    assert view.outcome == "hung"
    assert view.worst.ended.cause == "fork-lost-threads"
    assert all(one.path.startswith("evidence/x/") for one in view.excerpts)
    assert view.files == ("evidence/y/worker.log",), "of the other trials a link"


def test_many_stacks_leave_room_for_threads_and_the_log(run: Path) -> None:
    for name in ("stacks-2.txt", "stacks-3.txt", "threads.txt", "fork.txt"):
        (run / "evidence" / "x" / name).write_text(name)
    (view,) = (one for one in content.read(run).cells if one.outcome == "hung")
    assert {Path(one.path).name for one in view.excerpts} == {
        "stacks-1.txt", "stacks-2.txt", "fork.txt", "threads.txt", "worker.log"
    }  # fmt: skip
    assert view.files == ("evidence/x/stacks-3.txt",)


def test_a_cell_without_evidence_leads_to_its_record(run: Path) -> None:
    (view,) = (one for one in content.read(run).cells if one.id == FORK.id)
    assert view.files == ("trials.jsonl",)


def test_each_model_has_a_front_of_its_own(tmp_path: Path) -> None:
    slow = replace(FORK, workload="lstm")
    found = frames.figures(content.read(made(tmp_path / "run", trials(FORK, 100, 101), trials(slow, 10, 11))))
    assert dict(zip(found["cell"], found["front"], strict=True)) == {FORK.id: True, slow.id: True}


@pytest.mark.parametrize(
    ("header", "command"),
    [
        ({"experiment": {"name": "quick"}}, "harness run quick --select "),
        ({"experiment": {"name": "mine", "settings": {"repeat": 3}}}, "harness run mine.toml --select "),
        ({"experiment": {"name": "quick"}, "workloads": {"user-model": "x"}}, " --model MODEL --input ROWS.npy"),
        ({"application": {"app": "a:b", "task": "a.c"}}, "harness probe --app a:b --task a.c --args ROWS.json --pools prefork"),
    ],
)
def test_the_command_to_run_a_cell_again_names_what_it_needs(header: dict[str, object], command: str) -> None:
    again = content.again(header, trials(FORK, 1)[0])
    assert command in again
    assert again.partition("  #")[0].endswith("--out results/again")
    assert ("--repeat 3" in again) == ("mine" in command)


def test_the_candidates_are_drawn_with_their_intervals_and_what_the_advice_says_of_each(tmp_path: Path) -> None:
    near = replace(FORK, concurrency=4)
    (advice,) = content.read(
        made(tmp_path / "run", trials(FORK, 100, 101, 99, mib=300), trials(near, 100, 101, 99), trials(SPAWN, 60, 61, 59))
    ).advice
    found = frames.candidates(advice)
    assert dict(zip(found["cell"], found["end"], strict=True)) == {FORK.id: "advised", near.id: "as good", SPAWN.id: "slower"}
    assert found["rows_per_s"].is_monotonic_decreasing
    assert ((found["low"] < found["rows_per_s"]) & (found["rows_per_s"] < found["high"])).all()


def test_one_candidate_alone_is_not_drawn(tmp_path: Path) -> None:
    names = {
        number: [one.name for one in charts.all_of(content.read(made(tmp_path / f"{number}", *groups)))]
        for number, groups in enumerate([[trials(FORK, 100, 101, 99)], [trials(FORK, 100, 101, 99), trials(SPAWN, 60)]])
    }
    assert names == {0: [], 1: ["candidates-1", "pareto"]}


def test_the_front_holds_what_nothing_beats() -> None:
    rates, latencies = np.array([100.0, 80.0, 60.0, 90.0]), np.array([10.0, 5.0, 6.0, 10.0])
    assert frames.on_front(rates, latencies).tolist() == [True, True, False, False]


def test_a_page_elsewhere_finds_the_evidence(run: Path, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    told = CliRunner().invoke(cli.command_line(), ["report", str(run), "--out", str(tmp_path / "pages" / "one.html")])
    assert told.exit_code == 0, told.stdout
    files = [link for link in Page((tmp_path / "pages" / "one.html").read_text()).links if not link.startswith("#")]
    assert all((tmp_path / "pages" / link).is_file() for link in files)


def test_every_form_is_written(run: Path) -> None:
    forms = [word for form in exports.FORMS for word in ("--form", form)]
    told = CliRunner().invoke(cli.command_line(), ["report", str(run), *forms])
    assert told.exit_code == 0, told.stdout
    assert {path.suffix for path in run.glob("report*")} == {".html", ".md", ".csv", ".parquet", ".tex", ".svg", ".png"}
    assert len(pd.read_parquet(run / "report.parquet")) == 3
    assert FORK.id.replace("_", "\\_") in (run / "report.md").read_text()
    assert "<script>alert" not in (run / "report.md").read_text().replace("\\<script\\>alert", "")
    assert "\\begin{longtable}" in (run / "report.tex").read_text()
    assert (run / "report-pareto.svg").read_text().startswith("<svg")
    assert (run / "report-candidates-1.svg").read_text().startswith("<svg")
    assert CliRunner().invoke(cli.command_line(), ["report", str(run), "--form", "pdf"]).exception


def test_a_run_of_controls_alone_has_a_page_without_advice(tmp_path: Path) -> None:
    null = Cell(backend="null", environment="celery", pool="solo")
    found = content.read(made(tmp_path / "run", trials(null, 100, 101)))
    assert found.advice == ()
    assert "nothing to recommend" in page.render(found)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there are no records in"):
        content.read(tmp_path)


def test_a_notebook_gets_frames(run: Path) -> None:
    found = harness.load(run)
    assert found.cells["cell"].tolist() == [FORK.id, SPAWN.id, IMPORT.id]
    assert len(found.trials) == 7
    assert found.requests(FORK.id).empty
    assert "&lt;script&gt;" in found._repr_html_()
    assert "pareto" in found.charts
    assert "<svg" in found._repr_html_()
    with pytest.raises(NothingMatches):
        found.samples("no-such-cell")
    with pytest.raises(BadInput):
        harness.load(run / "evidence")
