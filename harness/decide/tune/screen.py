"""A search in the terminal: what was measured, and how much better the best is than the default."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.decide.tune.replay import Replay
from harness.decide.tune.tune import TuneAnswer
from harness.display import width_of, wrapped


def tuned(console: Console, answer: TuneAnswer) -> None:
    """What the search did, and how much better the best is than the default."""
    share = f"{answer.measured} of {answer.grid} configurations measured ({answer.share:.0%})"
    _say(console, f"{share}{f'; {answer.stopped}' if answer.stopped else ''}")
    if answer.alike:  # the advice says so, and why
        return
    gain = (
        f"{answer.gain:.2f} times the rows per second of the default"
        if answer.gain
        else "the default has no figures to compare with"
    )
    itself = "the default itself is the best" if answer.measured > 1 else "nothing but the default was measured"
    same = itself if answer.best == answer.default else gain
    beside = f"{same}, {answer.default.id}"
    if answer.as_fast:
        beside = f"as fast as the default, {answer.default.id}, as far as the data show"
    if not answer.answers:
        _say(
            console,
            f"nothing that was measured ended ok with figures that can be used; the default: {answer.default.id}",
            "bold red",
        )
        return
    word = "best" if answer.kept else "nothing is known to keep what you ask for; nearest"
    style = "bold green" if answer.kept else "bold red"
    _say(console, f"{word}: {answer.best.id} ({beside})", style)


def replayed(console: Console, one: Replay) -> None:
    """How near a search came to the best of a recorded grid."""
    tuned(console, one.answer)
    many = f" in the middle of {one.searches} searches, {one.worst:.1%} at the least" if one.searches > 1 else ""
    _say(console, f"{one.reached:.1%} of the exhaustive best, {one.exhaustive.id}{many}", "bold")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(wrapped(text, width_of(console), ""), style=style), soft_wrap=True)
