"""The words of a pasted command, copied from a shell, a unit, a compose file, a Dockerfile or a Procfile. Pure."""

from __future__ import annotations

import ast
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.errors import BadInput

SHELLS = ("sh", "bash", "dash", "zsh", "ash", "ksh")
EXAMPLE = (
    "such as --worker 'celery -A proj worker --pool gevent -c 50'; 'ps -ww -o args= -p PID' prints that of a worker that runs"
)
SUPERVISOR = re.compile(r"\s*command\s*=\s*")
EXPANDED, REMARK = re.compile(r"%\((\w+)\)\d*[sd]"), re.compile(r"\s;.*")  # what supervisor fills in, and its comments
#: what may stand before a command, and the characters that are doubled in such a file
FILES = (
    (re.compile(r"\s*ExecStart\s*=\s*[-@:+!]*"), "%$"),  # of systemd
    (SUPERVISOR, "%"),
    (re.compile(r"\s*(?:CMD|ENTRYPOINT)\s+"), ""),
    (re.compile(r"\s*(?:-\s+)?[\w-]+:\s+(?:[>|][-+]?\s*\n)?"), "$"),  # of compose, or a Procfile
    (re.compile(r"\s*(?:\$\s+)?[-@:+!]*"), ""),  # a prompt
)
SUBSTITUTED, QUOTED = re.compile(r"\$\(|`"), re.compile(r"'[^']*'")  # what a shell would run; but for this
COMMENT = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|(?<!\S)(?P<comment>#[^\n]*)", re.DOTALL)
OWN_LINE = re.compile(r"^(\s*(?:cd|export|source|\.|set)\s[^\n;&|\\]*)\n", re.MULTILINE)
ITEM = re.compile(r"\s*-\s+(\S.*)")  # of a list in YAML
RENAMED = re.compile(r"\s*\[celery\w*:")
UNIT = re.compile(r"\s*\[(?:Unit|Service|program:\S+)\]\s*$", re.MULTILINE)  # of systemd, or supervisor
SIGNS = "&|;<>()"  # of a shell: a word of them alone is no argument


@dataclass(frozen=True, kw_only=True)
class Written:
    """The words of each command of `cd proj && celery …`; there is one or more, and none is empty. `doubled`: characters that
    stand there twice, since one alone would be replaced."""

    commands: tuple[list[str], ...]
    doubled: str = ""


def once(text: str, doubled: str) -> str:
    """
    >>> once("w@%%h", "%$"), once("w@%%h", "")
    ('w@%h', 'w@%%h')
    """
    for sign in doubled:
        text = text.replace(2 * sign, sign)
    return text


def read(text: str) -> Written:
    """Raises BadInput."""
    if RENAMED.match(text):
        raise BadInput(
            "--worker: that is no command line, but the name that the worker has given itself",
            remedy="paste what starts it: celery, and what stands in the parentheses",
        )
    if UNIT.match(text):
        raise BadInput(
            "--worker: that is a whole unit",
            remedy="paste its line ExecStart=…, and give its variables by --env-file",
        )
    bare, doubled = _bare(text)
    if listed := _items(text) or _listed(bare):
        return Written(commands=(listed,), doubled=doubled)
    if SUBSTITUTED.search(QUOTED.sub("", bare)):
        raise BadInput(
            "--worker: the line has a command in it, as $(nproc), and no shell fills that in",
            remedy="write what your shell puts there: 'echo' prints it",
        )
    commands = _commands(bare)
    if whole := _in_one_word(commands, bare):
        return Written(commands=read(whole).commands, doubled=doubled)
    return Written(commands=tuple(commands), doubled=doubled)


def _in_one_word(commands: list[list[str]], text: str) -> str:
    """The command, if the whole of it was in quotation marks; else ''."""
    (first, *_), *others = commands
    alone = not others and len(commands[0]) == 1 and len(first) < len(text)
    return first if alone and re.search(r"\s", first.strip()) else ""


def _bare(text: str) -> tuple[str, str]:
    """Without what its file has around it, and the characters that such a file doubles."""
    pattern, doubled = next((pattern, doubled) for pattern, doubled in FILES if pattern.match(text))
    bare = pattern.sub("", text, count=1)
    if pattern is SUPERVISOR:
        bare = REMARK.sub("", EXPANDED.sub(r"$\1", bare))
    bare = COMMENT.sub(lambda found: "" if found["comment"] else found[0], bare.replace("\\\n", " "))
    return OWN_LINE.sub(r"\1 && ", bare), doubled


def _items(text: str) -> list[str]:
    """Of a list in YAML, one item a line. What a shell is given is one word, though it has several; [] if it is none."""
    lines = [line for line in text.splitlines() if line.strip()]
    items = [item[1] for line in lines if (item := ITEM.fullmatch(line))]
    if len(lines) < 2 or len(items) != len(lines):
        return []
    try:
        first = shlex.split(items[0])
        whole = len(first) == 1 and PurePosixPath(first[0]).name in SHELLS
        return [word for item in items for word in ([item] if whole and item[0] not in "'\"" else shlex.split(item))]
    except ValueError:
        return []


def _listed(text: str) -> list[str]:
    """The words of an array in JSON, or of a list in YAML; [] if it is none. Raises BadInput."""
    if items := _items(text):
        return items
    if not text.lstrip().startswith("["):
        return []
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and found and all(isinstance(word, str) for word in found):
            return found
    raise BadInput("--worker: it begins as an array of JSON, and is none", remedy='such as ["celery", "-A", "proj", "worker"]')


def _commands(text: str) -> list[list[str]]:
    """As a shell reads them. Raises BadInput."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=SIGNS)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise BadInput(f"--worker: a quotation mark is not closed in {text!r}", remedy=EXAMPLE) from error
    if words and words[-1] == "&":
        words.pop()
    found: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            found.append([])
        elif word and set(word) <= set(SIGNS):
            raise BadInput(
                f"--worker: the line holds {word!r}", remedy="leave out what does not belong to the worker's own command"
            )
        else:
            found[-1].append(word)
    if not all(found):
        raise BadInput("--worker: there is no command line", remedy=EXAMPLE)
    return found
