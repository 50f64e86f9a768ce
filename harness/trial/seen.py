"""What a watcher has noted of a trial so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.broker import Census
from harness.judge.watchdog import Verdict
from harness.measure import noise
from harness.measure.monitor import Sample


@dataclass
class Seen:
    """What the watcher has noted so far; the requests are in the load generator's file."""

    ended_by: str = ""
    verdict: Verdict | None = None
    partial: Verdict | None = None  # some executors hang while others go on
    judged_s: float | None = None  # when the verdict, or the partial one, was first reached
    shown_s: float | None = None  # since when a proof stands that is being confirmed
    withdrawn: list[str] = field(default_factory=list)  # proofs that did not stand, each in words: a defect of ours
    depths: list[tuple[int, int]] = field(default_factory=list)
    noise: list[noise.Reading] = field(default_factory=list)  # with the samples of the measured phase
    census: Census | None = None
    worker_exit: str = ""
    no_consumer: str = ""
    client_exit: str = ""
    before: Sample | None = None
    after: Sample | None = None
    last: Sample | None = None
    quiet_s: float = 0.0
    longest_silence_s: float = 0.0
    dead: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)  # requests that dead processes held
