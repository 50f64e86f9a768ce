"""`evidence.md` of a packed folder: for each trial that left evidence an anchor, its verdict, and what one reads first of it.

The words in it are of others (stacks, logs, exceptions). They stand in fences longer than any that they hold, and no line of
theirs begins like an anchor or a heading of ours. The whole files lie in the archive beside the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.observe.stacks import frames_of
from harness.records import evidence
from harness.records.evidence import Raw
from harness.texts import escaped as plain
from harness.texts import visible

HEAD = f"""\
# Evidence

Written by `harness pack`; nothing here is edited by hand. Each trial that left evidence has a section. It says how the trial
ended, why, and shows the part of its files that one reads first. The whole files are in `{evidence.ARCHIVE}`;
`tar -xJf {evidence.ARCHIVE}` unpacks them.
"""
OPEN_REQUEST = re.compile(r"open: request -?\d+ in process (\d+), thread (\d+)")
THREAD = re.compile(r"^Thread (\d+) ", re.MULTILINE)
LIKE_OURS = re.compile(r"^(?=<|#|`{3})", re.MULTILINE)
BANNER = re.compile(r" -{14} |-{1,3} \*{2,7} -| {16}\.> ")
MOST_LINES, MOST_STEPS, MOST_LOG_LINES, MOST_WIDTH = 24, 10, 6, 240  # the page is read first, and every clone has it
FENCE = "```"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said of a folder of evidence. `first`: the file in it that a reader wants first, '' if none is named."""

    outcome: str
    reason: str
    cause: str = ""
    support: tuple[str, ...] = ()
    first: str = ""


def page(bodies: Mapping[str, str]) -> str:
    """The page; `bodies`: the text of each section by folder of evidence, in order."""
    return "\n".join([HEAD, *(_section(name, body) for name, body in bodies.items())])


def _section(name: str, body: str) -> str:
    return f'<a id="{evidence.anchor(name)}"></a>\n\n## {plain(name)}\n\n{body}\n'


def body(files: Raw, told: Told | None) -> str:
    """What one section says, from the files of a folder of evidence and from what is said of it, if anything is."""
    texts = {path: data.decode("utf-8", "replace") for path, data in files.items()}
    return "\n\n".join([*_verdict(told), *_blocks(texts, told.first if told else "")])


def _verdict(told: Told | None) -> list[str]:
    if told is None:
        return ["No record names it: its trial was run again, or its record was lost."]
    lines = [f"**{plain(told.outcome)}**: {plain(told.reason)}"]
    lines += [f"Likely cause: **{plain(told.cause)}**."] if told.cause else []
    return [*lines, "\n".join(f"* {plain(sentence)}" for sentence in told.support)] if told.support else lines


def _blocks(texts: Mapping[str, str], first: str) -> Iterable[str]:
    """The blocked thread's stack, the threads that were lost, and the steps that were taken; else the log's tail."""
    stacks, steps = _stack(texts, first), texts.get("steps.txt", "").strip()
    for path, stack in stacks:
        yield block(f"The blocked thread, from {plain(path)}", first_lines(stack, MOST_LINES))
    if lost := texts.get("fork.txt", "").strip():
        yield block("The threads that its parent had and it lacks, from fork.txt", lost.partition("\n\n")[0])
    if steps:
        yield block("What was done and seen, from steps.txt", first_lines(steps, MOST_STEPS))
    for path, log in texts.items():
        if path.endswith(".log") and not (stacks or steps) and (tail := last_lines(log, MOST_LOG_LINES)):
            yield block(f"The log's tail, from {plain(path)}", tail)


def _stack(texts: Mapping[str, str], first: str) -> list[tuple[str, str]]:
    """The stack of the thread whose request is open, or of the first thread in the file that the record names."""
    opened = OPEN_REQUEST.search(texts.get("requests.txt", ""))
    if opened and (found := _thread(texts.get(path := f"stacks-{opened[1]}.txt", ""), opened[2])):
        return [(path, found)]
    text = texts.get(first, "") if first.startswith("stacks-") else ""
    main = THREAD.search(text)
    stack = _thread(text, main[1]) if main else text
    return [(first, stack)] if stack.strip() else []


def _thread(text: str, tid: str) -> str:
    return "\n".join([f"Thread {tid}", *(f"    {frame}" for frame in frames)]) if (frames := frames_of(text, int(tid))) else ""


def block(title: str, text: str) -> str:
    """Somebody's words under a title of ours: no fence, no anchor and no heading of theirs is one.

    >>> print(block("said", "````"))
    said:
    <BLANKLINE>
    `````
     ````
    `````
    """
    said = LIKE_OURS.sub(" ", "\n".join(map(_short, visible(text).splitlines())))
    fence = max([FENCE, *(run + "`" for run in re.findall(r"`{3,}", said))], key=len)
    return f"{title}:\n\n{fence}\n{said}\n{fence}"


def first_lines(text: str, most: int) -> str:
    """
    >>> first_lines("a\\nb\\nc", 2)
    'a\\nb\\n… 1 more line'
    """
    lines = text.rstrip().splitlines()
    return "\n".join(lines[:most] + ([_more(len(lines) - most)] if len(lines) > most else []))


def last_lines(text: str, most: int) -> str:
    """Without empty lines, and without the banner with which each worker of Celery begins."""
    lines = [line for line in text.rstrip().splitlines() if line.strip() and not BANNER.match(line)]
    return "\n".join(([_more(len(lines) - most)] if len(lines) > most else []) + lines[-most:])


def _more(count: int) -> str:
    return f"… {count} more line{'s' if count > 1 else ''}"


def _short(line: str) -> str:
    return line if len(line) <= MOST_WIDTH else line[: MOST_WIDTH - 1] + "…"
