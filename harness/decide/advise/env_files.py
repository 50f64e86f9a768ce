"""What others read out of an application's env file otherwise than its trials, which had it as python-dotenv reads it. Pure.

The file is one of `NAME=value` lines, and everybody has rules of his own: a shell takes `A=two words` for a command and `&` for
the end of one; systemd (systemd.exec, EnvironmentFile=) knows no `export`, no `${NAME}` and no comment behind a value; compose
replaces `$NAME`, too. A line counts as read alike only if it is known to be.
"""

from __future__ import annotations

import io
import re

from dotenv.parser import Binding, parse_stream

SHELL, SYSTEMD, COMPOSE = "a shell", "systemd", "compose"
#: of one line: `export`, the name, and the value as it is written, in its quotation marks or without any
LINE = re.compile(
    r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)(?P<apart>[ \t]*)=(?P<after>[ \t]*)"
    r"(?:'(?P<single>[^'\\]*)'|\"(?P<double>[^\"\\]*)\"|(?P<bare>[^'\"\\#\s][^\\#\n\r]*?(?:\S\#[^\\#\n\r]*)*|))"
    r"[ \t]*(?P<comment>(?:(?<=[ \t])\#[^\n\r]*)?)",
    re.ASCII,
)
PLAIN = re.compile(r"(?:[\w@%+=:,./^#!*?\[\]{}-]|\$\{\w+\})*", re.ASCII)  # in a shell, without quotation marks
REPLACED = re.compile(r"\$\{\w+\}", re.ASCII)


def misread(text: str) -> dict[str, list[str]]:
    r"""By who reads it: the names that have another value there, or none; a line that is no variable by its number.

    >>> misread("A=1\nB=two words\nexport C='3'\n")
    {'a shell': ['B'], 'systemd': ['C'], 'compose': []}
    """
    found: dict[str, list[str]] = {SHELL: [], SYSTEMD: [], COMPOSE: []}
    for binding in parse_stream(io.StringIO(text, newline="")):
        if written := binding.original.string.strip():
            for reader in _otherwise(binding, written):
                found[reader].append(binding.key or f"line {binding.original.line}")
    return found


def _otherwise(binding: Binding, written: str) -> list[str]:
    """Who reads this line otherwise."""
    if binding.key is None and not binding.error:  # a comment
        return []
    line = LINE.fullmatch(written)
    if line is None:
        return [SHELL, SYSTEMD, COMPOSE]
    value = line["single"] or line["double"] or line["bare"] or ""
    dollar = REPLACED.sub("", value)
    by_shell = not (line["apart"] or line["after"]) and "\r" not in binding.original.string
    if line["bare"]:
        by_shell = by_shell and PLAIN.fullmatch(value) is not None and not value.startswith("~")
    elif line["double"]:
        by_shell = by_shell and not set("$`") & set(dollar)
    elif line["single"]:
        by_shell = by_shell and "${" not in value
    by_systemd = not (written.startswith("export") or line["comment"]) and "${" not in value
    by_compose = "${" not in value if line["single"] else "$" not in dollar
    alike = {SHELL: by_shell, SYSTEMD: by_systemd, COMPOSE: by_compose}
    return [reader for reader, is_alike in alike.items() if not is_alike]
