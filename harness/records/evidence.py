"""Where the evidence of a trial is found, in a run's folder as it was made and in a packed one. The only place that knows both.

As it was made, a record names a file, `evidence/CELL.TRIAL/stacks-7.txt`. In a packed folder (`harness.run.packing`) it
names a place on a page, `evidence.md#CELL.TRIAL`, where the file is shown shortened, and the whole files lie in
`evidence.tar.xz`. Both are *ways* here: texts relative to the run's folder. `Raw` is what an archive or a folder holds.
"""

from __future__ import annotations

import lzma
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from harness.errors import BadInput

FOLDER, PAGE, ARCHIVE = "evidence", "evidence.md", "evidence.tar.xz"
SAFE = "@+=,:~"  # beside letters, digits and _.-: what an anchor, a link and a cell of a table may hold as it is
FILE_WAY = re.compile(r"(?P<at>(?:[^#]*?/)?)evidence/(?P<name>[^/#]+)(?:/[^#]*)?")
PAGE_WAY = re.compile(r"(?P<at>(?:[^#]*/)?)evidence\.md#(?P<anchor>.+)")
ANCHOR = re.compile(r'^<a id="([^"]+)"></a>$', re.MULTILINE)
BRACKETS = re.compile(r"[\\`<\[\]]")
Raw = dict[str, bytes]  # path from `evidence/` on -> what the file holds


def anchor(name: str) -> str:
    """The anchor of a folder of evidence.

    >>> anchor("null@celery+celery==5.4.0-solo-c1.1"), anchor('a "b".1')
    ('null@celery+celery==5.4.0-solo-c1.1', 'a%20%22b%22.1')
    """
    return quote(name, safe=SAFE)


def label(way: str) -> str:
    """What a link to it says.

    >>> label("evidence/x.1/stacks-7.txt"), label("../b/evidence.md#x.1")
    ('stacks-7.txt', 'evidence')
    """
    return FOLDER if PAGE_WAY.fullmatch(way) else way.rpartition("/")[2]


def linked(way: str) -> str:
    """A link to it, in Markdown."""
    said = BRACKETS.sub(lambda sign: f"\\{sign[0]}", label(way))
    return f"[{said}]({href(way)})"


def href(way: str) -> str:
    """It as the target of a link, in HTML and in Markdown.

    >>> href("evidence/a b.1/worker.log"), href("evidence.md#a%20b.1")
    ('evidence/a%20b.1/worker.log', 'evidence.md#a%20b.1')
    """
    found = PAGE_WAY.fullmatch(way)
    at, place = (found["at"], f"{PAGE}#{quote(found['anchor'], safe=SAFE + '%')}") if found else (way, "")
    return quote(at, safe=SAFE + "/") + place


def folder_of(way: str) -> str:
    """The folder of files that it leads to, whether they lie there or in the archive; '' for ''.

    >>> folder_of("evidence/x.1/stacks-7.txt"), folder_of("p/evidence.md#a%20b.1")
    ('evidence/x.1', 'p/evidence/a b.1')
    """
    if found := PAGE_WAY.fullmatch(way):
        return f"{found['at']}{FOLDER}/{unquote(found['anchor'])}"
    if found := FILE_WAY.fullmatch(way):
        return f"{found['at']}{FOLDER}/{found['name']}"
    return str(PurePosixPath(way).parent) if way else ""


def exists(run: Path, way: str) -> bool:
    """Whether it leads to something."""
    found = PAGE_WAY.fullmatch(way)
    return found["anchor"] in anchors(run / found["at"] / PAGE) if found else (run / way).is_file()


def beside(way: str, path: str) -> str:
    """The way to another file of the same trial: the file, or in a packed folder the trial's place on the page."""
    return way if PAGE_WAY.fullmatch(way) else path


def read(run: Path, path: str) -> str | None:
    """The text of a file, from the folder or from the archive; None where there is none."""
    try:
        return (run / path).read_text(errors="replace")
    except OSError:
        return _from_archive(run, path)


def files(run: Path, folder: str) -> Raw:
    """The files of a folder as `folder_of` names it, by their paths in it."""
    at, name = _split(folder)
    held = {**packed(run / at), **loose(run / at)}
    begin = f"{FOLDER}/{name}/"
    return {path.removeprefix(begin): data for path, data in held.items() if path.startswith(begin)}


def loose(run: Path) -> Raw:
    """What lies in the folder `evidence`; no links, which may lead out of the run."""
    found = (path for path in sorted((run / FOLDER).rglob("*")) if path.is_file() and not path.is_symlink())
    inside = (run / FOLDER).resolve()
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in found if path.resolve().is_relative_to(inside)}


def packed(run: Path) -> Raw:
    """What the archive holds. Raises BadInput where it is damaged."""
    path = run / ARCHIVE
    if not path.is_file():
        return {}
    try:
        with tarfile.open(path, "r:xz") as archive:
            return dict(_members(archive))
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise BadInput(f"{path} cannot be read: {error}", remedy="fetch it again, from where the run was taken") from error


def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page of evidence; none where there is no page."""
    try:
        return frozenset(ANCHOR.findall(page.read_text()))
    except OSError:
        return frozenset()


def section(run: Path, way: str) -> str | None:
    """What the page says at this place, without its heading; None where it says nothing of it."""
    found = PAGE_WAY.fullmatch(way)
    if found is None or not exists(run, way):
        return None
    rest = (run / found["at"] / PAGE).read_text().partition(f'<a id="{found["anchor"]}"></a>\n')[2]
    return rest.partition('\n<a id="')[0].strip().partition("\n")[2].strip()


def by_name(raw: Mapping[str, bytes]) -> dict[str, Raw]:
    """The files of each folder in `evidence`, by the folder's name and their paths in it, in order."""
    found: dict[str, Raw] = {}
    for path in sorted(raw):
        _, name, *rest = path.split("/", 2)
        if rest:
            found.setdefault(name, {})[rest[0]] = raw[path]
    return found


def _from_archive(run: Path, path: str) -> str | None:
    found = FILE_WAY.fullmatch(path)
    data = packed(run / found["at"]).get(path.removeprefix(found["at"])) if found else None
    return None if data is None else data.decode("utf-8", "replace")


def _split(folder: str) -> tuple[str, str]:
    found = FILE_WAY.fullmatch(folder)
    return (found["at"], found["name"]) if found else (folder, "")


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        content = archive.extractfile(member)
        if member.isfile() and content is not None and ".." not in PurePosixPath(member.name).parts:
            yield member.name, content.read()
