"""The two sides of a gate are checkouts of the user's repository, which stays as it is; and what is written of a gate."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.applications import revisions
from harness.applications.gate import checkouts, gate, pages, sides
from harness.applications.gate.command import closed, rule_of
from harness.applications.gate.gate import GateAnswer, PoolAnswer
from harness.applications.gate.order import GateOrder
from harness.applications.gate.pages import Places
from harness.applications.gate.rule import Rule, Word, decide
from harness.applications.probe.messages import CannotProbe
from harness.applications.probe.order import ProbeOrder
from harness.errors import BadInput, CannotWrite, HarnessError
from harness.experiment.experiment import Settings
from harness.experiment.matrix import OWN_APP, Cell
from harness.proof.gates import project
from tests.test_gate_rule import HUNG, OK, RULE, ended, pairs


@pytest.fixture
def made(tmp_path: Path) -> project.Project:
    return project.made(tmp_path / "shop", "0.1")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout


def test_both_commits_are_checked_out_and_the_repository_stays_as_it_was(made: project.Project, tmp_path: Path) -> None:
    before = everything(made.folder)
    repository = checkouts.repository(made.folder)
    base, head = repository.commit("--base", "HEAD~1"), repository.commit("--head", "HEAD")
    here, there = (repository.checkout(one, tmp_path / one.short, ()) for one in (base, head))
    assert (head.named, head.subject) == ("HEAD", "planted: 0.1")
    assert "range(60000)" in (here / "jobs.py").read_text()
    assert "range(73333)" in (there / "jobs.py").read_text()
    assert everything(made.folder) == before


def test_a_commit_without_a_branch_in_a_shallow_repository_is_checked_out(made: project.Project, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{made.folder}", str(shallow))
    git(shallow, "checkout", "--quiet", "--detach")
    (shallow / "jobs.py").write_text("a = 1\n")
    project.commit(shallow, "jobs.py", "on no branch")
    repository = checkouts.repository(shallow)
    for place, name in enumerate(("HEAD", "HEAD~1")):
        side = repository.checkout(repository.commit("--head", name), tmp_path / str(place), ())
        assert git(side, "log", "--format=%s").splitlines() == ["on no branch", "planted: 0.1"][place:]


def test_hooks_of_the_user_do_not_run(made: project.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "config").write_text(f"[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    repository = checkouts.repository(made.folder)
    repository.checkout(repository.commit("--head", "HEAD"), tmp_path / "side", ())
    assert not (tmp_path / "ran").exists()


def test_what_git_does_not_have_is_linked_and_what_it_has_is_not(made: project.Project, tmp_path: Path) -> None:
    (made.folder / "models").mkdir()
    (made.folder / "models" / "weights").write_text("1")
    repository = checkouts.repository(made.folder)
    head = repository.commit("--head", "HEAD")
    side = repository.checkout(head, tmp_path / "side", repository.linked([Path("models")]))
    assert (side / "models" / "weights").read_text() == "1"
    with pytest.raises(BadInput, match="has it in git"):
        repository.checkout(head, tmp_path / "other", repository.linked([Path("jobs.py")]))
    with pytest.raises(BadInput, match="no such file or folder"):
        repository.linked([Path("absent")])
    with pytest.raises(BadInput, match="no such file or folder"):
        repository.linked([Path("../rows.json")])


def test_a_submodule_is_linked_in_its_place_and_one_that_is_not_is_named(made: project.Project, tmp_path: Path) -> None:
    library = project.made(tmp_path / "library", "0.1").folder
    added = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "vendored")
    git(made.folder, *added)
    project.commit(made.folder, ".", "with a library")
    repository = checkouts.repository(made.folder)
    head = repository.commit("--head", "HEAD")
    links = repository.linked([Path("vendored")])
    side = repository.checkout(head, tmp_path / "side", links)
    assert (side / "vendored" / "jobs.py").is_file()
    assert repository.said(head, head)[1:] == ["no side has the files of vendored: --link gives both the same submodule"]
    assert len(repository.said(head, head, links)) == 1
    git(made.folder / "vendored", "checkout", "--quiet", "HEAD~1")
    project.commit(made.folder, "vendored", "an older library")
    newer = repository.commit("--head", "HEAD")
    assert repository.said(head, newer, links) == [
        "the submodule vendored is another one in each commit: both sides have that of the working tree"
    ]


def test_a_partial_clone_that_lacks_files_is_told_and_what_fetches_them_does(made: project.Project, tmp_path: Path) -> None:
    git(made.folder, "config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--no-local", f"file://{made.folder}", str(partial))
    repository = checkouts.repository(partial)
    base = repository.commit("--base", "HEAD~1")
    with pytest.raises(BadInput, match="is a partial clone, and has not fetched all files") as caught:
        repository.checkout(base, tmp_path / "base", ())
    assert caught.value.remedy == f"git -C {partial} fetch --refetch --no-filter origin"
    subprocess.run(caught.value.remedy.split(), check=True, capture_output=True)
    assert (repository.checkout(base, tmp_path / "base", ()) / "jobs.py").is_file()


def test_a_file_of_git_lfs_is_named_and_can_be_linked(made: project.Project, tmp_path: Path) -> None:
    (made.folder / ".gitattributes").write_text("*.bin filter=lfs -text\n")
    (made.folder / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n")
    project.commit(made.folder, ".", "with a model")
    (made.folder / "model.bin").write_text("the model")
    repository = checkouts.repository(made.folder)
    head = repository.commit("--head", "HEAD")
    repository.checkout(head, tmp_path / "plain", ())
    assert checkouts.of_pointers(tmp_path / "plain").startswith("no side has what Git LFS keeps of model.bin: --link")
    repository.checkout(head, tmp_path / "linked", repository.linked([Path("model.bin")]))
    assert (tmp_path / "linked" / "model.bin").read_text() == "the model"
    assert checkouts.of_pointers(tmp_path / "linked") == ""


def test_a_folder_of_another_user_is_told_in_git_s_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    line = f"git config --global --add safe.directory {tmp_path}"
    program.write_text(
        "#!/bin/sh\n"
        f"printf \"fatal: detected dubious ownership in repository at '{tmp_path}'\\n"
        f'To add an exception for this directory, call:\\n\\n\\t{line}\\n" >&2\nexit 128\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(BadInput, match="it is another user's") as caught:
        checkouts.repository(tmp_path)
    assert caught.value.remedy == f"if you trust it: {line}"


def test_settings_of_git_in_variables_hold_and_those_that_lead_elsewhere_do_not(
    made: project.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitLab's runners are told by GIT_CONFIG_COUNT that a folder is to be trusted."""
    for name, value in {"COUNT": "1", "KEY_0": "harness.told", "VALUE_0": "yes"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert revisions.git(made.folder, "config", "--get", "harness.told").strip() == "yes"


def test_an_application_in_a_folder_of_its_repository_is_started_in_the_same_one(made: project.Project, tmp_path: Path) -> None:
    (made.folder / "src").mkdir()
    git(made.folder, "mv", "jobs.py", "src/jobs.py")
    git(made.folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "moved")
    repository = checkouts.repository(made.folder / "src")
    assert repository.checkout(repository.commit("--head", "HEAD"), tmp_path / "head", ()) == tmp_path / "head" / "src"
    with pytest.raises(BadInput, match=r"HEAD~1 \(\w+\) has no folder src"):
        repository.checkout(repository.commit("--base", "HEAD~1"), tmp_path / "base", ())


def test_a_commit_that_is_not_there_and_a_folder_without_git_are_told(made: project.Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--base origin/main: no such commit") as caught:
        checkouts.repository(made.folder).commit("--base", "origin/main")
    assert "fetch-depth: 0" in caught.value.remedy
    with pytest.raises(BadInput, match="no such commit"):
        checkouts.repository(made.folder).commit("--base", "--output=x")
    (tmp_path / "plain").mkdir()
    with pytest.raises(BadInput, match="is in no git repository"):
        checkouts.repository(tmp_path / "plain")


def test_what_makes_the_question_another_one_is_said(made: project.Project) -> None:
    repository = checkouts.repository(made.folder)
    head, base = repository.commit("--head", "HEAD"), repository.commit("--base", "HEAD~1")
    assert repository.said(base, head) == []
    assert repository.said(head, base) == [
        "HEAD~1 lacks 1 of the commits of HEAD: what they changed counts, too; "
        "--base $(git merge-base HEAD HEAD~1) leaves them out"
    ]
    (made.folder / "jobs.py").write_text("changed")
    assert repository.said(head, head)[0].startswith("both sides are")
    assert "not committed" in repository.said(head, head)[1]


class Loaded:
    """A side that loaded these files."""

    name = "head"

    def __init__(self, *paths: Path) -> None:
        self.source = self
        self.facts = self
        self.told = {"files": [], "elsewhere": [str(path) for path in paths]}


def test_a_side_that_runs_the_users_own_files_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    checkout = root / "results" / "gate" / "scratch" / "checkouts" / "head"
    sides.check_origin(Loaded(checkout / "jobs.py"), root, checkout)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="it loaded") as caught:
        sides.check_origin(Loaded(checkout / "jobs.py", root / "lib.py"), root, checkout)  # type: ignore[arg-type]
    linked = Loaded(checkout / "jobs.py", root / "vendored" / "lib.py")
    sides.check_origin(linked, root, checkout, [root / "vendored"])  # type: ignore[arg-type]
    assert "pip install -e" in caught.value.remedy
    with pytest.raises(BadInput, match="no module of it was loaded from there"):
        sides.check_origin(Loaded(tmp_path / "elsewhere.py"), root, checkout)  # type: ignore[arg-type]


# Options


def test_options_that_make_no_sense_are_refused() -> None:
    assert rule_of(2, 10) == Rule()
    with pytest.raises(BadInput, match="is not below"):
        rule_of(10, 10)
    with pytest.raises(BadInput, match="no pace of the worker"):
        closed("poisson-20")
    assert closed("drain") == "drain"


# What is written


def answer(tmp_path: Path, *pools: PoolAnswer) -> GateAnswer:
    probe = ProbeOrder(
        app="jobs:app", task="jobs.price", rows=[[1]], python=Path("python"), folder=tmp_path, variables={}, own={},
        env_file=None, settings=Settings(), out=tmp_path / "gate", pools=("prefork",), concurrency=(2,), traffic="closed-4",
    )  # fmt: skip
    order = GateOrder(
        probe=probe, base="main", head="HEAD", pools=(), links=(), rule=Rule(), budget_s=600.0, out=tmp_path / "gate"
    )
    commit = checkouts.Commit(named="main", digest="0123456789" * 4, subject="a | b")
    return GateAnswer(
        word=gate.overall(pools), base=commit, head=replace(commit, named="HEAD"), pools=pools, order=order, notes=("a note",),
        started="2026-01-31T12:00:00+00:00", seconds=300.0,
    )  # fmt: skip


def pool(name: str, *both: object) -> PoolAnswer:
    found = PoolAnswer(name=name, pairs=list(both))  # type: ignore[arg-type]
    found.decision = decide(found.pairs, RULE)
    return found


def test_a_decision_is_written_for_programs_people_and_later(tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    places = Places(json=tmp_path / "a" / "gate.json", markdown=tmp_path / "gate.md", history=tmp_path / "history.jsonl")
    places.check()
    worse = answer(tmp_path, pool("prefork", *ended((OK, HUNG), (OK, HUNG))), pool("solo", *pairs(0.01, -0.01, 0.0, 0.0)))
    pages.write(worse, places)
    told = json.loads((tmp_path / "a" / "gate.json").read_text())
    assert told == json.loads((tmp_path / "gate" / "gate.json").read_text())
    assert (told["decision"], told["pools"][0]["by"], told["base"]["named"]) == ("worse", "outcome", "main")
    assert told["reason"].startswith("prefork: base ok 2, head hung 2")
    page = (tmp_path / "gate.md").read_text()
    assert page.startswith("### ❌ Serving is worse\n")
    assert "| prefork | ❌ worse | - | - | - | 2 | ok 2 | hung 2 |" in page
    (line,) = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [one["pairs"] for one in json.loads(line)["pools"]] == [2, 4]


def test_a_history_grows_by_a_line_and_survives_a_torn_one(tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    history = tmp_path / "history.jsonl"
    history.write_text('{"torn": ')
    for _ in range(2):
        pages.write(answer(tmp_path, pool("prefork", *pairs(0.0, 0.01, -0.01, 0.0))), Places(history=history))
    torn, *lines = history.read_text().splitlines()
    assert torn == '{"torn": '
    assert [json.loads(one)["schema"] for one in lines] == [1, 1]


def test_a_place_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a folder"):
        Places(json=tmp_path).check()
    with pytest.raises(CannotWrite):
        Places(history=tmp_path / "file" / "history.jsonl").check()


def test_a_pass_against_a_base_that_fails_says_nothing_of_pace(tmp_path: Path) -> None:
    mended, alike = (pool("prefork", *ended((one, OK), (one, OK))) for one in (HUNG, OK))
    assert pages.title(answer(tmp_path, mended)) == pages.ONLY_THE_BASE
    assert pages.title(answer(tmp_path, pool("solo", *pairs(*[0.0, 0.001, -0.001] * 5)))) == pages.TITLES[Word.PASSES]
    assert pages.title(answer(tmp_path, mended, alike)) == pages.TITLES[Word.CANNOT_SAY]
    assert pages.markdown(answer(tmp_path, mended)).startswith("### ✅ Serving is not worse: only the base fails\n")


def test_a_gate_that_cannot_say_tells_what_would_help(tmp_path: Path) -> None:
    page = pages.markdown(answer(tmp_path, PoolAnswer(name="prefork")))
    assert "⚠️ It cannot be said" in page
    assert "there was no time for a pair of trials. More time" in page
    assert answer(tmp_path, PoolAnswer(name="prefork")).word is Word.CANNOT_SAY
    both = pages.markdown(answer(tmp_path, pool("prefork", *ended((HUNG, HUNG), (HUNG, HUNG)))))
    assert "both sides fail" in both
    assert "'harness probe' shows how each side ends" in both


def test_a_base_that_cannot_tell_what_it_is_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise BadInput("SyntaxError: x", remedy="mend it", evidence="facts.log")

    monkeypatch.setattr(sides, "_side", fails)
    with pytest.raises(BadInput, match=r"^base: SyntaxError: x$") as found:
        sides._base("base", None, (), None, None)  # type: ignore[arg-type]
    assert (found.value.remedy, found.value.evidence) == ("mend it", "facts.log")


@pytest.mark.parametrize("error", [CannotWrite("the disk is full"), CannotProbe("it sends its rows to several queues")])
def test_what_is_no_fault_of_the_head_does_not_make_it_worse(monkeypatch: pytest.MonkeyPatch, error: HarnessError) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(sides, "_side", fails)
    monkeypatch.setattr(sides.broker, "emptied", lambda _: None)
    desk = SimpleNamespace(server=SimpleNamespace(url=""))
    with pytest.raises(type(error), match=f"^head: {error}$"):
        sides._head("head", None, (), desk, None)  # type: ignore[arg-type]


def with_executors(said: str, count: int, pool: str = "prefork") -> sides.Side:
    cell = Cell(backend=OWN_APP, pool=pool, concurrency=count)
    facts = SimpleNamespace(told={"concurrency": said})
    return SimpleNamespace(source=SimpleNamespace(facts=facts), cells=(cell,))  # type: ignore[return-value]


def test_numbers_of_executors_in_the_settings_that_no_side_runs_with_are_said() -> None:
    note = gate.unseen_executors(with_executors("4", 2), with_executors("", 2))
    assert note.startswith("worker_concurrency is 4 at the base and not set at the head, and both are run with 2 executors")
    assert gate.unseen_executors(with_executors("4", 2), with_executors("4", 2)) == ""
    assert gate.unseen_executors(with_executors("4", 4), with_executors("1", 1)) == "", "each has its own"


def test_how_long_requests_keep_their_executors_is_compared_where_both_sides_have_the_same_ones() -> None:
    base = with_executors("2", 2)
    assert gate.alike(base, with_executors("", 2)) == [True]
    assert gate.alike(base, with_executors("8", 8)) == [False]
    assert gate.alike(base, with_executors("2", 2, "threads")) == [False]
