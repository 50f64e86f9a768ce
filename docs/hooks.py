"""What MkDocs asks while it builds the site: evidence becomes part of it, and reference pages are made from the code.

A page links to a file of the repository as GitHub does: by the way from the page to the file, `../../results/full/cells.csv`.
Such a file lies outside `docs`, so it is copied into the site, and the link is led there. The pages of `results` become pages
of the site. `<!-- made: NAME -->` in a page stands for what the function of that name in MADE returns.
"""

from __future__ import annotations

import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
RESULTS = ROOT / "results"
ENGINES, SECTION = "engines", "Engines"  # the folder of made pages, and their part of the navigation
PROJECT_PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
#: what a run leaves beside the files that are kept
LOCAL = (".lock", "scratch", "report.html")
LINK = re.compile(r"(?<!\\)\]\((?P<path>[^()\s#:]+)(?P<anchor>#[^()\s]*)?\)")
FENCED = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^<!-- made: (?P<name>[a-z-]+) -->$", re.MULTILINE)
FIELD = re.compile(r"^    (?P<name>[a-z]\w*): (?P<type>[^=#]+?)(?: = [^#]*)?(?:  # (?P<said>.*))?$")
FIELDS = ("| field | type | meaning |", "| --- | --- | --- |")


# What is made from the code


def commands() -> str:
    """Every verb by its group: what it does, how it is called, its arguments and options."""
    import typer

    from harness import cli

    verbs = typer.main.get_command(cli.command_line()).commands  # type: ignore[attr-defined]
    groups: dict[str, list[str]] = {}
    for name, verb in verbs.items():
        groups.setdefault(verb.rich_help_panel, []).append(_verb(name, verb))
    return "\n\n".join(part for group, each in groups.items() for part in (f"## {group}", *each))


def _verb(name: str, verb: Any) -> str:
    shown = [one for one in verb.params if one.name != "help"]
    usage = " ".join(filter(None, [f"harness {name}", *(_called(one) for one in shown), "[OPTIONS]"]))
    lines = [f"### harness {name}", inspect.cleandoc(verb.help or ""), f"```text\n{usage}\n```"]
    if shown:
        head = "| argument or option | meaning | default |\n| --- | --- | --- |"
        lines.append("\n".join([head, *(_row(one) for one in shown)]))
    return "\n\n".join(lines)


def _called(one: Any) -> str:
    """In the line that shows how a verb is called: arguments, and options that have to be there."""
    if one.param_type_name == "argument":
        word = f"{_named(one)}…" if one.nargs == -1 else _named(one)
        return word if one.required else f"[{word}]"
    return f"{one.opts[0]} …" if one.required else ""


def _named(argument: Any) -> str:
    return str(argument.metavar or argument.name).upper()


def _row(one: Any) -> str:
    if one.param_type_name == "argument":
        names = f"`{_named(one)}`"
    else:
        names = ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])
    default = "required" if one.required else _default(one.default)
    return f"| {names} | {_cell(one.help or '')} | {default} |"


def _default(value: Any) -> str:
    return "" if value in (None, "", False, [], ()) or callable(value) else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def record_sections() -> str:
    """The fields of a record's sections, from the lines that define them, with their comments."""
    from harness.records import cpu, record, sections, sending

    found = []
    for name, field in record.TrialRecord.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, sections.Frozen):
            found.append(_fields(f"### {name}", field.annotation))
    found.append("## Parts of these sections")
    beside = [
        one
        for module in (sections, cpu)
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__
    ]
    named = {field.annotation for field in record.TrialRecord.model_fields.values()}
    parts = [one for one in (*beside, sending.Sending) if one not in named and one.__name__ != "Frozen"]
    found += [_fields(f"### {one.__name__}", one) for one in parts]
    return "\n\n".join(found)


def _fields(heading: str, model: type) -> str:
    rows = [match for line in inspect.getsource(model).splitlines() if (match := FIELD.match(line))]
    table = [
        f"| `{row['name']}` | `{row['type'].replace('|', 'or').replace('Words', 'str')}` | {_cell(row['said'] or '')} |"
        for row in rows
    ]
    said = inspect.cleandoc(model.__doc__ or "").split("\n\n")[0]
    return "\n\n".join([heading, " ".join(said.split()), "\n".join([*FIELDS, *table])])


def why_json() -> str:
    """The fields of what `harness why --json` prints, the outermost first."""
    from harness.live import schema

    parts = (schema.Answer, schema.Worker, schema.Executor, schema.Wait, schema.Broker)
    return "\n\n".join(_fields(f"### {part.__name__}", part) for part in parts).replace("| `schema_` |", "| `schema` |")


def settings() -> str:
    """The settings of an experiment, with their defaults."""
    from harness.experiment.experiment import Settings

    rows = [f"| `{name}` | `{field.default}` |" for name, field in Settings.model_fields.items()]
    return "\n".join(["| setting | default |", "| --- | --- |", *rows])


def the_map() -> str:
    """The rooms of the package, as its first file lists them."""
    import harness

    rooms = (harness.__doc__ or "").partition("run calls them:")[2].partition("This file")[0]
    return f"```text\n{inspect.cleandoc(rooms.strip(chr(10)))}\n```"


def faults() -> str:
    """The faults of the self-test, by what becomes of a worker that has one."""
    from harness.proof.selftest import catalogue

    families = {
        "it hangs: no progress can come": catalogue.HANGING,
        "it waits, and ends by itself: this must never be called hung": catalogue.PASSING,
        "it waits without end for somebody else: `waiting` is true, and some are proved": catalogue.ELSEWHERE,
        "it ends otherwise: wrong answers, errors, crashes, a broker that is gone, a full disk": catalogue.ENDING,
    }
    rows = [f"| {said} | {len(family)} | {', '.join(f'`{one.name}`' for one in family)} |" for said, family in families.items()]
    total = f"The catalogue has {len(catalogue.CATALOGUE)} entries; one of them is `nothing`, a worker without a fault."
    return "\n".join([total, "", "| what it does | faults | names |", "| --- | --- | --- |", *rows])


def engines() -> str:
    """The engines, with what the atlas has of each, and links to their pages."""
    from harness.atlas import site, stored

    return site.index(stored.shipped())


def engine_pages() -> dict[str, str]:
    """By path in the site: a page of each engine, made from the atlas."""
    from harness.atlas import site, stored

    atlas = stored.shipped()
    return {f"{ENGINES}/{name}.md": site.page(name, atlas) for name in site.names(atlas)}


MADE = {
    "engines": engines, "commands": commands, "record-sections": record_sections, "settings": settings, "map": the_map,
    "faults": faults, "why-json": why_json,
}  # fmt: skip


# What of the repository becomes part of the site


def on_config(config: Any) -> Any:
    """The made pages stand in the navigation below the page that lists them."""
    section = next(part[SECTION] for part in config.nav if isinstance(part, dict) and SECTION in part)
    section += [name for name in engine_pages() if name not in section]
    return config


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for name, text in engine_pages().items():
        files.append(File.generated(config, name, content=text))
    for path in sorted(evidence()):
        name = path.relative_to(ROOT).as_posix()
        if files.get_file_from_path(name) is None:
            files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def evidence() -> set[Path]:
    """The files outside `docs` that are part of the site: the runs on record, pages of the project, and what pages link to."""
    kept = {path for path in RESULTS.rglob("*") if path.is_file() and not any(word in path.parts for word in LOCAL)}
    linked = {target for page in DOCS.rglob("*.md") for target in outside(page)}
    return kept | linked | {ROOT / name for name in PROJECT_PAGES}


def outside(page: Path) -> Iterator[Path]:
    """The files of the repository outside `docs` to which a page links."""
    for found in LINK.finditer(FENCED.sub("", page.read_text())):
        path = (page.parent / found["path"]).resolve()
        if path.is_file() and not path.is_relative_to(DOCS):
            yield path


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    source = Path(page.file.abs_src_path or DOCS / page.file.src_uri)  # a made page lies nowhere
    if source.is_relative_to(DOCS):
        markdown = MARK.sub(lambda found: MADE[found["name"]](), markdown)
    if source.is_relative_to(RESULTS):  # thousands of lines of stacks: found by their links, not by a search
        page.meta |= {"search": {"exclude": True}, "hide": ["toc"]}
        markdown = _outside_fences(markdown, lambda text: text.replace("\\<", "&lt;"))  # of which this Markdown knows nothing
    here = posixpath.dirname(page.file.src_uri)
    return _outside_fences(markdown, lambda text: LINK.sub(lambda found: _led(found, source, here), text))


def _outside_fences(text: str, change: Any) -> str:
    parts: list[str] = []
    end = 0
    for fence in FENCED.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def _led(found: re.Match[str], source: Path, here: str) -> str:
    """A link as the site has it: `docs` is its root, and what lies beside `docs` lies in that root, too."""
    path = (source.parent / found["path"]).resolve()
    if not path.is_file() or not path.is_relative_to(ROOT):
        return found[0]
    inside = path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()
    return f"]({posixpath.relpath(inside, here or '.')}{found['anchor'] or ''})"
