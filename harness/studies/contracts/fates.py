"""What is said of a worker whose broker went away and came back, and of its requests: pure, `reconnect` looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.studies.contracts.bench import AWAY_LIMIT_S
from harness.studies.contracts.measures import counted

PINGS = 3
AGAIN, NEVER, DIED = "consumes again", "does not consume again", "worker died"
STOPS = "takes some, and stops again"
#: All verdicts, the gravest first.
VERDICTS = (
    DIED, NEVER, STOPS, f"{AGAIN}, loses requests", f"{AGAIN}, leaves requests behind", f"{AGAIN}, repeats requests",
    f"{AGAIN}, requests fail", f"{AGAIN}, no control", AGAIN,
)  # fmt: skip
ANSWERED, TWICE, LOST, NO_ANSWER = "answered", "answered, run more than once", "lost", "begun, no answer"
LEFT = {"queue": "left in the queue", "unacked": "left unacknowledged", "": LOST}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What became of a worker and its requests after an outage."""

    taken_s: float | None  # from the broker's return to the first request that the worker took from it; None if it took none
    after_the_running_one: bool  # it took none before the request in flight had ended
    died: str  # how the worker ended, '' if it lives
    replies: bool | None  # whether it answers a ping; None if it has died
    fates: Mapping[str, Sequence[str]]  # of its requests, by the place that each had
    server_lost_its_data: bool = False
    outages: int = 1  # how many there were in a row; the rest is of one
    limit_s: float = AWAY_LIMIT_S  # how long it was waited for that


def fate_of(outcome: str, runs: int, place: str) -> str:
    """One request's, from its caller's answer, how often it was run, and where the broker has it.

    >>> fate_of("answered", 1, ""), fate_of("answered", 2, ""), fate_of("", 0, "unacked"), fate_of("", 1, "")
    ('answered', 'answered, run more than once', 'left unacknowledged', 'begun, no answer')
    """
    if outcome:
        again = runs > 1
        return (TWICE if again else ANSWERED) if outcome == ANSWERED else f"raised {outcome}"
    return NO_ANSWER if runs and not place else LEFT[place]


def verdict(seen: Seen) -> str:
    """The gravest that holds. What a server lost that lost all its data is not held against the worker if it never had it."""
    blamed = {name: words for name, words in seen.fates.items() if not (seen.server_lost_its_data and name == "queued")}
    found = {word for words in blamed.values() for word in words}
    holds = (
        bool(seen.died), seen.taken_s is None, LEFT["queue"] in found, LOST in found,
        bool(found & {LEFT["unacked"], NO_ANSWER}), TWICE in found, bool(found - {ANSWERED}), seen.replies is False, True,
    )  # fmt: skip
    return next(word for word, is_so in zip(VERDICTS, holds, strict=True) if is_so)


def gravest(row: Sequence[Seen]) -> Seen:
    """Of several outages of one worker: the one with the gravest verdict, the slowest among those."""
    worst = min(row, key=lambda seen: (VERDICTS.index(verdict(seen)), -(seen.taken_s or 0.0)))
    return replace(worst, outages=len(row))


def detail(seen: Seen) -> str:
    """One sentence of what was seen."""
    if seen.died:
        taken = seen.died
    elif seen.taken_s is None:
        taken = f"nothing was taken from the broker within {seen.limit_s:g} s"
    else:
        taken = "it consumed again" + (" once the request in flight had ended" if seen.after_the_running_one else "")
    row = [f"{seen.outages} outages in a row"] if seen.outages > 1 else []
    parts = [*row, taken, *(f"{name}: {counted(words)}" for name, words in seen.fates.items() if words)]
    if seen.replies is not None:
        parts.append(f"ping: {'answered' if seen.replies else f'no reply to {PINGS}'}")
    return "; ".join(parts)
