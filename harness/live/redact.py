"""Names taken out of an answer and its evidence: what is the user's becomes `task-1`, `path-2`, the same one each time.

Two nets. Names that are known (the application, tasks, ids, hosts, queues), frames, paths and addresses are replaced as what
they are. Any other word that the texts of this package do not use themselves is replaced, too: nothing is kept because nobody
thought of it.
"""

from __future__ import annotations

import ast
import errno
import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from harness.live.versions import INSTALLED
from harness.places import PACKAGE
from harness.texts import visible, without_secrets

STANDARD = re.compile(r"^.*/lib(?:64)?/python3\.\d+t?/(?P<rest>[^/].*)$")
FROZEN = re.compile(r"^<frozen (?P<rest>[\w.]+)>$")
WORD = r"[\w.@%+~-]*[^\W\d_][\w.@%+~-]*"
FRAME = r"(?P<function>[^\s()]+) \((?P<file>[^()\s]+?\.(?:pyx?|so[\d.]*))(?P<line>:\d+)?\)"
URL = r"(?P<url>\w+://[^\s,;)]+)"
ADDRESS = (
    r"(?P<address>\[[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*\](?::\d+)?|(?<![\w.:])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"
    r"|[\w-]+(?:\.[\w-]+)+:\d+)"
)
PATH = r"(?P<path>(?<![\w.])[~\w]*/[^\s,;:()\[\]\"']+)"
SYSTEMS = re.compile(r"^(ld-linux|lib(c|m|dl|pthread|rt|stdc\+\+|gcc_s|ssl|crypto|python3[\w.]*))[.-]")  # shared objects
ROOMS = ("live", "judge", "observe", "machine", "broker", "errors.py")  # whose words may stand in an answer
#: names that tell nothing of anybody
COMMON = frozenset(
    ("celery", "python", "python3", "valkey-server", "redis-server", "redis", "rediss", "valkey", "amqp", "beam.smp",
     "postgres", "MainThread", "mysqld", "pid", "tid")
)  # fmt: skip


def within(filename: str) -> str:
    """Where a file stands in the standard library or among the installed packages; '' if it is in neither.

    >>> within("/srv/acme/venv/lib/python3.11/site-packages/celery/app/trace.py"), within("/usr/lib/python3.11/ssl.py")
    ('celery/app/trace.py', 'ssl.py')
    >>> within("/srv/acme/shop.py"), within("/srv/acme/lib/python3.11/acme/shop.py"), within("<frozen runpy>")
    ('', '', '<frozen runpy>')
    """
    if found := INSTALLED.match(filename):
        return found["rest"]
    if (found := STANDARD.match(filename)) and re.split(r"[/.]", found["rest"])[0] in sys.stdlib_module_names:
        return found["rest"]
    if (found := FROZEN.match(filename)) and found["rest"].split(".")[0] in sys.stdlib_module_names:
        return filename
    return ""


@cache
def own_words(rooms: tuple[str, ...] = ROOMS) -> frozenset[str]:
    """The words that texts of this package are made of, and the system's own errors, in small letters; docstrings are not."""
    texts = [os.strerror(number) for number in errno.errorcode]
    files = [path for room in rooms for path in sorted((PACKAGE / room).rglob("*.py") if "." not in room else [PACKAGE / room])]
    for path in files:
        tree = ast.parse(path.read_text())
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                texts.append(node.value)
    return frozenset(word.strip(".-") for text in texts for word in re.findall(WORD, text.lower()))


class Names:
    """Pseudonyms, given out in order of appearance. `keep`: names stay as they are, and secrets alone are taken out. `rooms`:
    those of this package whose words may stand; `common`: further ones."""

    def __init__(self, *, keep: bool = False, rooms: tuple[str, ...] = ROOMS, common: Iterable[str] = ()) -> None:
        self.keep = keep
        self._ours = own_words(rooms) | {word.lower() for word in common}
        self.counts: dict[str, int] = {}
        self._given: dict[tuple[str, str], str] = {}
        self._known: dict[str, str] = {}  # name -> kind
        self._files: dict[str, str] = {}  # as py-spy shortens their names in its texts, and whole
        self._own: set[str] = set()  # top-level packages of the application's
        self._pattern = self._compiled()

    def learn(self, known: Mapping[str, str], *, packages: Iterable[str] = ()) -> None:
        """Names to be replaced wherever they stand, with their kinds, and the packages whose files are the application's."""
        self._known |= {name: kind for name, kind in known.items() if name and name not in COMMON}
        self._own |= set(packages) - COMMON
        self._pattern = self._compiled()

    def learn_files(self, files: Mapping[str, str]) -> None:
        """Files that stacks show: their short names, with the whole ones. A name that is somebody's own in one stack is his."""
        for short, whole in files.items():
            if short not in self._files or not self.library(whole):
                self._files[short] = whole

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of a name: 'task-1'."""
        if self.keep or not name or name in COMMON:
            return without_secrets(visible(name))
        if (kind, name) not in self._given:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self._given[kind, name] = f"{kind}-{self.counts[kind]}"
        return self._given[kind, name]

    def library(self, filename: str) -> str:
        """Like `within`, and '' for the application's own packages, too."""
        found = within(filename)
        return "" if re.split(r"[/.]", found)[0] in self._own else found

    def frame(self, function: str, filename: str, line: int) -> str:
        """A frame of a stack: whole if a library's, pseudonyms with the line if not. Native code has no line."""
        name, at = filename.rpartition("/")[2], f":{line}" if line else ""
        place = self.library(filename) or (name if SYSTEMS.match(name) else "")
        if place:
            return f"{visible(function)} ({visible(place)}{at})"
        return f"{self.of('function', function)} ({self.of('path', filename)}{at})"

    def text(self, said: str) -> str:
        """A sentence of ours, or a whole name, without what is the user's in it."""
        if self.keep:
            return without_secrets(visible(said))
        if said in self._known:
            return self.of(self._known[said], said)
        return self._pattern.sub(self._replaced, visible(said))

    def value(self, found: Any) -> Any:
        """The same of every text in what JSON can hold."""
        if isinstance(found, str):
            return self.text(found)
        if isinstance(found, Mapping):
            return {self.text(str(key)): self.value(one) for key, one in found.items()}
        if isinstance(found, list | tuple):
            return [self.value(one) for one in found]
        return found

    def _compiled(self) -> re.Pattern[str]:
        """One pattern, so that nothing is replaced twice. A name that is one of our words stays in our sentences."""
        known = sorted((name for name in self._known if name.lower() not in self._ours), key=len, reverse=True)
        named = rf"(?P<known>(?<![\w-])(?:{'|'.join(map(re.escape, known))})(?![\w-]))" if known else "(?P<known>(?!))"
        return re.compile("|".join((FRAME, URL, named, ADDRESS, PATH, f"(?P<word>{WORD})")))

    def _are_ours(self, words: Iterable[str]) -> bool:
        return all(word.lower() in self._ours or word in COMMON for word in words)

    def _replaced(self, found: re.Match[str]) -> str:
        groups = found.groupdict()
        if groups["file"] is not None:
            return self._frame_in_text(found)
        if groups["known"]:
            return self.of(self._known[groups["known"]], groups["known"])
        if groups["word"]:
            bare = groups["word"].strip(".-")
            return groups["word"] if self._are_ours([bare]) else groups["word"].replace(bare, self.of("name", bare), 1)
        if groups["path"] and not groups["path"].startswith(("/", "~")) and self._are_ours(groups["path"].split("/")):
            return groups["path"]  # 'and/or'
        return next(self.of(kind, groups[kind]) for kind in ("url", "address", "path") if groups[kind])

    def _frame_in_text(self, found: re.Match[str]) -> str:
        file, line = found["file"], found["line"] or ""
        whole = self._files.get(file, file)
        if self.library(whole) or SYSTEMS.match(file):
            return found[0]
        return f"{self.of('function', found['function'])} ({self.of('path', whole)}{line})"
