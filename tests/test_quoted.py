"""What others quote from the atlas of somebody's own engine: `why`, `check`, `recommend` and `probe`. It vetoes nothing."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from harness.applications.check import lost
from harness.applications.check.modules import Source
from harness.applications.check.static import at_import
from harness.applications.probe import before
from harness.atlas import answer, stored
from harness.decide.advise import pages
from harness.live import measured, versions
from harness.records.record import to_line
from tests.test_advise import OWN, of_own, trials
from tests.test_check_answer import looked
from tests.test_live import CHILD, child, said, seen

TENSORFLOW = {"tensorflow": "2.21.0", "celery": "5.7.0"}


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages in which TensorFlow and PyTorch are installed."""
    folder = tmp_path / "lib" / "site-packages"
    for name in ("tensorflow_cpu-2.21.0.dist-info", "celery-5.7.0.dist-info", "torch-2.13.0.dist-info"):
        (folder / name).mkdir(parents=True)
    return folder


def test_a_folder_of_packages_tells_what_is_installed_and_the_atlas_what_is_known_of_it(packages: Path) -> None:
    assert versions.in_folder(str(packages)) == {"celery": "5.7.0", "tensorflow-cpu": "2.21.0", "torch": "2.13.0"}
    (told,) = measured.of_folder(str(packages), {"tensorflow"}, "prefork")
    assert told.startswith(f"{answer.MEASURED}: TensorFlow 2, prefork, loaded at import: ")
    assert measured.of_folder(str(packages), {"numpy"}, "prefork") == ()
    assert measured.of_folder(str(packages / "nowhere"), {"tensorflow"}, "prefork") == ()


def test_of_a_process_only_packages_count_whose_libraries_it_has_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = (
        "7f0-7f1 r-xp 00000000 fe:00 1   /v/lib/python3.11/site-packages/tensorflow/libtensorflow_cc.so.2\n"
        "7f2-7f3 r--p 00000000 fe:00 2   /v/lib/python3.11/site-packages/torch/notes.txt\n"
        "7f4-7f5 rw-p 00000000 00:00 0\n"
    )
    monkeypatch.setattr(versions.procfs, "read", lambda _path: maps)
    assert versions.loaded(7) == {"/v/lib/python3.11/site-packages": {"tensorflow"}}


def test_why_tells_it_beside_a_cause_that_a_fork_may_be_and_beside_no_other() -> None:
    forked = {CHILD: (("tf_Compute",), ())}
    engine = {(CHILD, CHILD): ("syscall (libc.so.6)", "Notification::Wait (tf.so)", "predict (shop.py:7)")}
    known = {CHILD: ("the atlas says",)}
    deep = said(seen(child()), lost=forked, frames=engine, measured=known)
    assert (deep.cause, deep.support[-1]) == ("fork-lost-threads", "the atlas says")
    assert said(seen(child()), deep=False, lost=forked, frames=engine, measured=known).support[-1] == "the atlas says"
    assert "the atlas says" not in said(seen(child(state="T")), measured=known).support


def test_check_tells_it_beside_threads_that_an_engine_leaves_behind(packages: Path) -> None:
    native = [{"tid": 5, "name": "worker", "library": str(packages / "tensorflow" / "libtensorflow_framework.so.2")}]
    (found,) = lost.found(looked(native=native, packages={"tensorflow": "shop.MODEL"}), packages)
    assert found.measured.startswith(f"{answer.MEASURED}: TensorFlow 2, prefork, ")


def test_check_of_the_source_tells_it_of_an_engine_of_which_it_knows_the_name() -> None:
    text = "import tensorflow\nMODEL = tensorflow.saved_model.load('m')\n"
    source = Source(path="shop.py", module="shop", text=text, tree=ast.parse(text))
    (found,) = (one for one in at_import.found([source]) if one.rule == "model-at-import")
    assert found.measured.startswith(f"{answer.MEASURED}: TensorFlow 1.13.1, prefork, loaded at import: ")
    assert "TensorFlow 2, prefork, " in found.measured
    assert answer.of_name(stored.shipped(), "nobody") == ""


def test_recommend_notes_it_beside_an_application_and_vetoes_nothing(tmp_path: Path) -> None:
    each = [one.changed(asked={"versions": TENSORFLOW}) for one in trials(OWN, 10.0, 10.1, 9.9)]
    advice = of_own(tmp_path / "run", each)
    assert [one.id for one in advice.best] == [OWN.id]
    (note,) = (line for line in pages.noted(advice) if answer.MEASURED in line)
    assert "TensorFlow 2, prefork, loaded at import: " in note


def test_recommend_tells_it_of_the_pool_that_was_measured(tmp_path: Path) -> None:
    threads = replace(OWN, pool="threads")
    each = [one.changed(asked={"versions": TENSORFLOW}) for one in trials(threads, 10.0, 10.1, 9.9)]
    assert any("TensorFlow 2, threads, " in line for line in pages.noted(of_own(tmp_path / "run", each)))


def test_a_probe_ends_with_it(tmp_path: Path) -> None:
    records = [one.changed(asked={"versions": TENSORFLOW}) for one in trials(OWN, 10.0)]
    (tmp_path / "trials.jsonl").write_text("".join(map(to_line, records)))
    (told,) = before.said(tmp_path)
    assert told.startswith(f"{answer.MEASURED}: TensorFlow 2, prefork, loaded at import: ")
