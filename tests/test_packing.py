"""A run's folder in its light form: nothing that is read is lost, every link leads on, a stopped packing is made good."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from harness import cli
from harness.errors import BadInput
from harness.experiment.matrix import Cell
from harness.measure import latencies
from harness.records import evidence, store
from harness.records.links import Ways, markdown, table
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, to_line
from harness.records.store import RunFolder
from harness.report import content, exports, waterfall_view
from harness.run import evidence_page, packing
from harness.studies.claims.dossier import Dossier
from harness.summary import summary
from tests.links import dead, links
from tests.test_store import record

HUNG, QUICK, SLOW = (Cell(backend="theano", pool=pool) for pool in ("prefork", "solo", "threads"))
NAME = f"{HUNG.id}.1"
EVIL = '```\n~~~\n</pre><a id="x"></a>\n<a id="y"></a>\n# A heading of theirs\n````\n[way](evidence/none/x.txt)\x1b[31m'
STACKS = (
    'Process 7: celery\n\nThread 9 (idle): "Other"\n    poll (libc.so)\nThread 7 (idle): "MainThread"\n    futex (libc.so)\n'
)


def requests(path: Path, count: int, seed: int = 0) -> None:
    """So many requests of a few milliseconds, one after the other, as a run saves them."""
    took = np.random.default_rng(seed).integers(2_000_000, 9_000_000, count)
    received = np.cumsum(took) + 10**9
    columns = {
        "phase": np.full(count, 2), "right": np.full(count, True), "intended": received - took, "published": received - took,
        "received": received, "predict_begin": received - took // 2, "predict_end": received - took // 4,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def answered(folder: Path, cell: Cell, count: int, trial: int = 1) -> TrialRecord:
    """A record without figures, as the first version was, with its requests."""
    name = f"requests/{cell.id}.{trial}.parquet"
    requests(folder / name, count, trial)
    return record(cell, trial=trial, measured_s=5.0, measured_requests=count, requests_file=name)


def hung(folder: Path, cell: Cell = HUNG, log: str = "the log's last words", reason: str = "it | waits") -> TrialRecord:
    place = folder / "evidence" / f"{cell.id}.1"
    place.mkdir(parents=True)
    texts = {"stacks-7.txt": STACKS, "fork.txt": "It lacks:\n  2 x tf_Compute\n\nThe parent:\n  thread 1\n", "worker.log": log}
    for name, text in {**texts, "requests.txt": "open: request 0 in process 7, thread 7, since 1.0 s\n"}.items():
        (place / name).write_text(text)
    return record(
        cell, outcome=Outcome.HUNG, reason=reason, cause="fork-lost-threads", support=["it lacks <2> threads"],
        evidence=f"evidence/{cell.id}.1/stacks-7.txt",
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A cell that hung, one with enough requests, and one whose trials have enough of them only together."""
    folder = tmp_path / "run"
    trials = [hung(folder), answered(folder, QUICK, 500), *(answered(folder, SLOW, 40, trial) for trial in (1, 2, 3))]
    (folder / "trials.jsonl").write_text("".join(map(to_line, trials)))
    (folder / "samples").mkdir()
    (folder / "samples" / "one.parquet").write_bytes(b"")
    (folder / "run.json").write_text("{}")
    (folder / "claims.md").write_text(
        f"[stacks-7.txt](evidence/{NAME}/stacks-7.txt), [a.parquet](requests/a.parquet), [b.parquet](requests/b.parquet)\n"
        f"see [what it says](evidence/{NAME}/fork.txt), [run.json](run.json), [records](trials.jsonl)\n"
    )
    (folder / "diagnoses.md").write_text(f"Evidence: `evidence/{NAME}/stacks-7.txt`\n")
    (folder / "claims.csv").write_text(f'a,evidence\n"x, y",evidence/{NAME}/stacks-7.txt requests/a.parquet\n')
    return folder


def held(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".lock"
    }


def shown(folder: Path) -> pd.DataFrame:
    return summary.table(RunFolder(folder).current().values(), folder)


def test_a_packed_run_reads_as_before_but_for_the_way_to_its_evidence(run: Path) -> None:
    before = shown(run)
    assert before.set_index("cell")["latency_p95_s"][SLOW.id] > 0, "of three trials together"
    packing.pack(run)
    after = shown(run)
    pd.testing.assert_frame_equal(after.drop(columns="evidence"), before.drop(columns="evidence"), check_exact=True)
    assert after["evidence"][0] == f"evidence.md#{NAME}"


def test_what_stays_is_light(run: Path) -> None:
    packing.pack(run)
    assert set(held(run)) == {
        "trials.jsonl.xz", "evidence.md", "evidence.tar.xz", "latencies.json.xz", "run.json", "claims.md", "claims.csv",
        "diagnoses.md",
    }  # fmt: skip


def test_every_link_leads_on_and_says_where(run: Path) -> None:
    packing.pack(run)
    assert not list(dead(run))
    place = f"evidence.md#{NAME}"
    assert links(run / "claims.md") == [place, "trials.jsonl.xz", place, "run.json", "trials.jsonl.xz"]
    assert "[evidence](" in (run / "claims.md").read_text()
    assert f"[what it says]({place})" in (run / "claims.md").read_text()
    assert (run / "diagnoses.md").read_text() == f"Evidence: [evidence]({place})\n"
    assert (run / "claims.csv").read_text() == f'a,evidence\n"x, y",{place} trials.jsonl.xz\n'


def test_the_page_shows_the_verdict_the_blocked_thread_and_the_lost_threads(run: Path) -> None:
    packing.pack(run)
    said = evidence.section(run, f"evidence.md#{NAME}") or ""
    for part in ("**hung**: it \\| waits", "**fork-lost-threads**", "\\<2\\> threads", "futex (libc.so)", "2 x tf\\_Compute"):
        assert part.replace("\\_", "_") in said
    assert "the log's last words" not in said, "the stack says more"
    assert "poll (libc.so)" not in said, "another thread"
    assert "thread 1" not in said


def test_without_a_stack_and_without_steps_the_page_shows_the_logs_tail(tmp_path: Path) -> None:
    texts = {"worker.log": b"the log's last words"}
    assert "the log's last words" in evidence_page.body(texts, None)
    body = evidence_page.body({**texts, "steps.txt": b"0.1 s  request 0 sent"}, None)
    assert ("request 0 sent" in body, "the log's last words" in body) == (True, False)


def test_the_whole_files_are_in_the_archive_and_are_read_from_it(run: Path) -> None:
    before = {path: data for path, data in held(run).items() if path.startswith("evidence/")}
    packing.pack(run)
    assert evidence.packed(run) == before
    assert Dossier.of(run, []).read(f"evidence/{NAME}/stacks-7.txt") == STACKS
    assert evidence.files(run, evidence.folder_of(f"evidence.md#{NAME}"))["stacks-7.txt"].decode() == STACKS
    with tarfile.open(fileobj=io.BytesIO((run / "evidence.tar.xz").read_bytes())) as archive:
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in archive} == {(0, 0, 0, "")}
        assert archive.getnames() == sorted(before)


def test_a_page_made_again_in_a_packed_folder_has_the_links_that_packing_gave_it(run: Path) -> None:
    loose = [
        f"evidence/{NAME}/stacks-7.txt",
        next(one.answers.requests_file for one in RunFolder(run).records() if one.ended.evidence == ""),
    ]
    assert Dossier.of(run, []).present(loose) == loose
    packing.pack(run)
    assert Dossier.of(run, []).present(loose) == [f"evidence.md#{NAME}", "trials.jsonl.xz"]
    assert Dossier.of(run, []).present(["evidence/nobody.1/stacks-7.txt"]) == ["trials.jsonl.xz"]


def test_packing_twice_changes_nothing(run: Path) -> None:
    packing.pack(run)
    once = held(run)
    (saved,) = packing.pack(run)
    assert held(run) == once
    assert str(saved).endswith("nothing to pack")


def test_words_of_others_stay_words(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    RunFolder(folder).path.mkdir()
    told = hung(folder, log=EVIL)
    (folder / "evidence" / NAME / "stacks-7.txt").unlink()  # a stack says more than a log, which is not shown beside it
    RunFolder(folder).append(told.changed(ended={"reason": EVIL, "support": [EVIL], "cause": EVIL}))
    packing.pack(folder)
    page = (folder / "evidence.md").read_text()
    assert evidence.anchors(folder / "evidence.md") == {NAME}
    assert not list(dead(folder))
    assert links(folder / "evidence.md") == []
    assert page.count("\n`````\n") == 2, "a fence that is longer than theirs"
    assert [line for line in page.splitlines() if line.startswith(("#", "<"))] == [
        "# Evidence", f'<a id="{NAME}"></a>', f"## {NAME.replace('_', chr(92) + '_')}"
    ]  # fmt: skip
    assert "\x1b" not in page


def test_long_texts_are_cut_and_say_so() -> None:
    assert evidence_page.first_lines("x\n" * 50, 40).endswith("x\n… 10 more lines")
    assert evidence_page.last_lines("x\n" * 16, 15).startswith("… 1 more line\nx")
    assert len(evidence_page.block("t", "y" * 9000)) < 300


def test_a_run_goes_on_in_a_packed_folder_and_is_packed_again(run: Path) -> None:
    packing.pack(run)
    section = evidence.section(run, f"evidence.md#{NAME}")
    other = Cell(backend="theano", pool="gevent")
    with RunFolder(run).opened() as folder:
        folder.append(hung(run, other))
        folder.append(answered(run, SLOW, 30, trial=4))
    assert [one.trial for one in folder.records()] == [1, 1, 1, 2, 3, 1, 4]
    before = shown(run)
    packing.pack(run)
    pd.testing.assert_frame_equal(shown(run).drop(columns="evidence"), before.drop(columns="evidence"), check_exact=True)
    assert {path.split("/")[1] for path in evidence.packed(run)} == {NAME, f"{other.id}.1"}
    assert evidence.section(run, f"evidence.md#{NAME}") == section
    assert not (run / "trials.jsonl").exists()


def test_a_trial_that_is_run_again_takes_the_place_of_its_evidence(run: Path) -> None:
    packing.pack(run)
    RunFolder(run).append(hung(run, reason="it waits again"))
    packing.pack(run)
    assert "it waits again" in (evidence.section(run, f"evidence.md#{NAME}") or "")
    assert "it \\| waits" not in (run / "evidence.md").read_text()


@pytest.mark.parametrize("where", ["_write_evidence", "_light", "_lead_on", "_remove", "_remove_parquet"])
def test_a_stopped_packing_loses_nothing_and_the_next_one_ends_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before, whole = shown(run), tmp_path / "whole"
    copied(run, whole)
    packing.pack(whole)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing, where, stopped)
        with pytest.raises(KeyboardInterrupt):
            packing.pack(run)
    pd.testing.assert_frame_equal(shown(run).drop(columns="evidence"), before.drop(columns="evidence"))
    packing.pack(run)
    assert held(run) == held(whole)


def copied(source: Path, target: Path) -> None:
    for path, data in held(source).items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(data)


def test_runs_within_a_folder_are_packed_and_the_pages_around_them_led_on(run: Path, tmp_path: Path) -> None:
    (tmp_path / "bisect.md").write_text(f"[records](run/trials.jsonl), [stacks-7.txt](run/evidence/{NAME}/stacks-7.txt)\n")
    packing.pack(tmp_path)
    assert links(tmp_path / "bisect.md") == ["run/trials.jsonl.xz", f"run/evidence.md#{NAME}"]
    assert not list(dead(tmp_path))


def test_contracts_have_evidence_and_no_trials(tmp_path: Path) -> None:
    place = tmp_path / "evidence" / "theano-solo-kill"
    place.mkdir(parents=True)
    (place / "steps.txt").write_text("0.1 s  the worker is killed\n")
    row = "theano,solo,5.2,kill,lost,1,it is lost,evidence/theano-solo-kill/steps.txt\n"
    (tmp_path / "contracts.csv").write_text(f"backend,pool,celery,contract,verdict,seconds,detail,evidence\n{row}")
    packing.pack(tmp_path)
    said = evidence.section(tmp_path, "evidence.md#theano-solo-kill") or ""
    assert "**lost**: it is lost" in said
    assert "0.1 s  the worker is killed" in said
    assert (tmp_path / "contracts.csv").read_text().endswith(",it is lost,evidence.md#theano-solo-kill\n")
    assert not (tmp_path / "evidence").exists()
    assert not (tmp_path / "trials.jsonl.xz").exists()


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    with pytest.raises(BadInput, match="holds no run"):
        packing.pack(tmp_path)
    with pytest.raises(BadInput, match="holds no run"):
        packing.pack(tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_a_folder_that_a_run_holds_is_refused_and_left_alone(run: Path) -> None:
    before = held(run)
    with RunFolder(run).opened(), pytest.raises(BadInput, match="another run"):
        packing.pack(run)
    assert held(run) == before


def test_damaged_records_are_not_taken_for_none(run: Path) -> None:
    packing.pack(run)
    packed = run / "trials.jsonl.xz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(BadInput, match="cannot be read"):
        RunFolder(run).records()


def test_what_was_packed_before_is_read_and_packed_anew(run: Path) -> None:
    """Records and latencies were zipped once."""
    packing.pack(run)
    records = RunFolder(run).records()
    for name, before in ((store.PACKED_RECORDS, store.PACKED_BEFORE), (latencies.FILE, latencies.BEFORE)):
        (run / before).write_bytes(gzip.compress(lzma.decompress((run / name).read_bytes())))
        (run / name).unlink()
    kept = latencies.kept(run)
    assert kept
    assert (RunFolder(run).records(), RunFolder(run).records_name) == (records, store.PACKED_BEFORE)
    (run / store.RECORDS).write_text(to_line(records[0]))
    packing.pack(run)
    assert (RunFolder(run).records(), RunFolder(run).records_name, latencies.kept(run)) == (records, store.PACKED_RECORDS, kept)
    assert not list(run.glob("*.gz"))


def test_a_packed_run_is_set_aside_like_another(run: Path) -> None:
    packing.pack(run)
    with RunFolder(run).opened(fresh=True) as folder:
        assert folder.moved_to
        assert len(RunFolder(folder.moved_to).records()) == 5
        assert folder.records() == []


def test_a_machines_records_are_not_mixed_with_packed_ones_of_another(run: Path) -> None:
    (run / "run.json").write_text('{"machine": {"processor": "another", "cores_available": 999}}')
    packing.pack(run)
    with pytest.raises(BadInput, match="another machine"):
        store.check_machine(RunFolder(run))


def test_where_requests_would_be_drawn_it_says_that_they_are_not_kept(run: Path) -> None:
    packing.pack(run)
    view = waterfall_view.views(list(RunFolder(run).current().values()), run, [QUICK.id])[0]
    assert "requests not kept" in str(waterfall_view.shown(view))
    found = content.read(run)
    (page,) = exports.write(found, "html", run / "report.html")
    assert "requests not kept of 4 of 4" in page.read_text()
    assert f'href="evidence.md#{NAME}"' in page.read_text()
    assert "requests not kept" in exports.markdown(found)
    (view_,) = (one for one in found.cells if one.id == HUNG.id)
    assert [one.path for one in view_.excerpts] == [f"evidence.md#{NAME}"]
    assert "futex (libc.so)" in view_.excerpts[0].text
    assert all(one.files == ("trials.jsonl.xz",) for one in found.cells if one.id != HUNG.id)


@pytest.mark.parametrize(
    ("reader", "text"), [(markdown, "[a](b.txt) [c](https://x.org/evidence/x/y)\r\n"), (table, "a\r\n1\r\n")]
)
def test_a_text_without_such_links_stays_to_the_byte(reader: Callable[[str, Ways], str], text: str, tmp_path: Path) -> None:
    assert reader(text, Ways(folder=tmp_path)) == text


def test_the_verb_says_what_it_saved(run: Path) -> None:
    done = CliRunner().invoke(cli.command_line(), ["pack", str(run)])
    assert done.exit_code == 0
    assert " MB in 14 files -> 0.00 MB in 8 files" in done.output
