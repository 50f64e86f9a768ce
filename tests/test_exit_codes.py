"""What an exit code means stands in one table of the code, and the documentation says the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli, errors
from harness.errors import MEANING, Exit, HarnessError, MissingTool
from harness.places import CHECKOUT
from harness.run import preflight

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "exit-codes.md").read_text()


def test_the_documentation_has_the_table_of_the_code() -> None:
    table = PAGE.partition("| exit code | meaning |\n| --- | --- |\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [f"| {int(code)} | {meaning} |" for code, meaning in MEANING.items()]


def test_every_code_has_a_meaning_and_every_error_a_code() -> None:
    assert set(MEANING) == set(Exit)
    ours = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, HarnessError)]
    codes = [one.exit_code for one in ours]
    assert len(set(codes)) == len(codes), "each has its own"
    assert all(isinstance(code, Exit) for code in codes)


def left(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["harness", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("arguments", [("run", "--nope"), ("nope",), ("show", "--wide", "a", "b")])
def test_a_wrong_option_or_command_is_told_without_a_traceback(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert left(monkeypatch, *arguments) == Exit.USAGE
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "harness --help" in told
    assert "Traceback" not in told


def test_what_nobody_expected_is_a_defect_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("no")

    monkeypatch.setattr(cli, "command_line", lambda verbs: broken)
    assert left(monkeypatch) == Exit.DEFECT
    told = capsys.readouterr().err
    assert "ZeroDivisionError: no" in told
    assert "a defect of the harness" in told


def test_windows_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli.sys, "platform", "win32")
    assert left(monkeypatch, "list") == Exit.MISSING_TOOL
    assert "does not run on Windows" in capsys.readouterr().err


def test_macos_is_refused_by_name_if_something_is_to_be_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight.sys, "platform", "darwin")
    with pytest.raises(MissingTool, match="only Linux has"):
        preflight.check(tmp_path, "")


def test_the_command_line_is_there_where_a_system_knows_no_affinity() -> None:
    code = "import os; del os.sched_getaffinity; import harness.cli; from harness.machine import cores; print(cores.AVAILABLE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.stdout.startswith("(0,"), done.stderr
