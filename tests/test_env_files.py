"""What is said of an env file holds for a real shell: it reads the values that python-dotenv reads, or the names are told."""

from __future__ import annotations

import io
import subprocess
import tempfile
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decide.advise.env_files import COMPOSE, SHELL, SYSTEMD, misread

LINES = (
    "A=1", "A=", "A=abc#def", "A=x # a comment", "A='two words'", 'A="two words"', "export A=1", "A=a/b:c,d@e%f+g-h.i",
    "A=[1,2]", "A=two words", "A=a&b=1", "A=a;b", "A=a(b)", "A=a$HOME", "A=a`b`", "A = 1", "A= 1", "A=~/x", "A=it's", "A=a\\b",
    'A="a\\nb"',    "A='a$b'", 'A="a$b"', "A", "A.B=1", "A=1\r", "# a comment", "", "A=<b>", "A=a|b", "A={x}", "A=*", "A=!b",
)  # fmt: skip


def sourced(text: str, folder: Path) -> str | None:
    """The value of A in a shell that has sourced the file; None if it has none, or if the shell complains."""
    (folder / "f.env").write_bytes(text.encode())
    done = subprocess.run(
        ["sh", "-c", 'set -a; . ./f.env; set +a; printf "%s." "$A"'], cwd=folder, env={"PATH": "/bin:/usr/bin", "HOME": "/h"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.removesuffix(".") if not (done.returncode or done.stderr) else None


@pytest.mark.parametrize("line", LINES)
def test_a_file_of_which_nothing_is_told_has_the_same_values_in_a_shell(line: str, tmp_path: Path) -> None:
    text = f"{line}\n"
    if not misread(text)[SHELL]:
        assert sourced(text, tmp_path) == (dotenv_values(stream=io.StringIO(text)).get("A") or "")


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab #'\"\\$&;(){}=~`!*\t", max_size=6).map(lambda text: f"A={text}\n"))
def test_whatever_stands_behind_the_sign(text: str) -> None:
    if not misread(text)[SHELL] and not dotenv_values(stream=io.StringIO(text)).keys() - {"A"}:
        with tempfile.TemporaryDirectory() as folder:
            found = sourced(text, Path(folder))
        assert found == (dotenv_values(stream=io.StringIO(text)).get("A") or "")


def test_what_a_plain_file_has_is_told_of_nobody() -> None:
    plain = "# shop\n\nA=1\nB='two words'\nC=\"x y\"\nD=redis://h:1/0?a=b\n"
    assert misread(plain.replace("?a=b", "")) == {SHELL: [], SYSTEMD: [], COMPOSE: []}


def test_each_reader_has_its_own_rules() -> None:
    assert misread("export A=1\n") == {SHELL: [], SYSTEMD: ["A"], COMPOSE: []}
    assert misread("A=${B}x\n") == {SHELL: [], SYSTEMD: ["A"], COMPOSE: []}
    assert misread("A=pa$$word\n") == {SHELL: ["A"], SYSTEMD: [], COMPOSE: ["A"]}
    assert misread("A=x # why\n") == {SHELL: [], SYSTEMD: ["A"], COMPOSE: []}
    assert misread("A=two words\nB\n")[SHELL] == ["A", "B"]
