"""The pages that people read, taken apart: fenced blocks, commands with the output that is shown, tables.

In a `console` block a line that begins with `$ ` is a command, and a backslash at its end goes on in the next line.
What stands below it is its output: `...` alone on a line stands for any lines, and `...` within a line for any text. Runs of
spaces count as one.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = (README, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")), *sorted(DOCS.rglob("*.md")))
FENCED = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
OPERATORS = frozenset(";&|<>()")
ANY = "..."


@dataclass(frozen=True)
class Command:
    """`words` of one program; `shown`: the lines of output that the page has below it."""

    page: Path
    words: tuple[str, ...]
    shown: tuple[str, ...] = ()

    def __str__(self) -> str:
        return shlex.join(self.words)

    @property
    def verb(self) -> str:
        """'' for a program other than ours."""
        return self.words[1] if Path(self.words[0]).name == "harness" and len(self.words) > 1 else ""


def blocks(page: Path, kind: str) -> list[str]:
    """The bodies of the fenced blocks of this kind."""
    return [textwrap.dedent(found["body"]) for found in FENCED.finditer(page.read_text()) if found["kind"] == kind]


def commands(page: Path) -> Iterator[Command]:
    for block in blocks(page, "console"):
        for session in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            line, *shown = session.rstrip("\n").split("\n")
            *before, last = programs(line)
            yield from (Command(page, words) for words in before)
            yield Command(page, last, tuple(shown))


def programs(line: str) -> list[tuple[str, ...]]:
    """The programs of a line of shell, each with its words; what a redirection names is none.

    >>> programs("echo '[1, 2]' > rows.json && asv run HEAD^!   # graphs")
    [('echo', '[1, 2]'), ('asv', 'run', 'HEAD^!')]
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if not OPERATORS.issuperset(word):
            found[-1].append(word)
        else:
            found.append([">"] if ">" in word else [])
    return [tuple(words) for words in found if words and words[0] != ">"]


def matches(shown: Sequence[str], said: Sequence[str]) -> bool:
    """Whether the output is what is shown.

    >>> matches(["a ... d", "...", "e"], ["a  b c   d", "x", "y", "e"]), matches(["a"], ["a", "b"])
    (True, False)
    """
    if not shown:
        return not said
    if shown[0].strip() == ANY:
        return any(matches(shown[1:], said[skipped:]) for skipped in range(len(said) + 1)) if shown[1:] else True
    return bool(said) and _like(shown[0], said[0]) and matches(shown[1:], said[1:])


def _like(shown: str, said: str) -> bool:
    parts = [re.escape(" ".join(part.split())) for part in shown.split(ANY)]
    return re.fullmatch(r"\s*.*?\s*".join(parts), " ".join(said.split())) is not None


def first_cells(page: Path, head: str) -> list[str]:
    """The first cells of all tables of a page whose header begins with `| head |`: the words in backticks."""
    found = []
    for table in re.findall(rf"^\| {re.escape(head)} \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE):
        for row in table.splitlines():
            found += re.findall(r"`([^`]+)`", row.split(" | ")[0])
    return found


def rows(page: Path, head: str) -> list[list[str]]:
    """The rows of the first table whose header line is `head`."""
    table = page.read_text().partition(f"{head}\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[1:]]
