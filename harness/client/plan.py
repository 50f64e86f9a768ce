"""What the driver asks of the client, and how a request is named. Light: the driver imports it, too."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.worker import contract

EXIT_BROKER_LOST = 4
GO = contract.GO  # beside the plan
SENDING = "sending.json"  # a file beside the plan, see `harness.client.sending`


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send. `executors`: how many distinct executors must have answered in warm-up. Seconds throughout.

    `warmup_limit_s` bounds the wait for them, `stable_limit_s` the warm-up that follows until the pace is stable, `search_s`
    the search for a peak. `few`: requests are so slow that a warm-up would cost more than it tells: exactly `requests` of them
    are sent, all are measured, and each row as often as the others; `cold`: the first one of an executor is known to take
    longer; `at_once`: how many run beside each other; `most_s`: no request is sent that would probably be answered later than
    that, 0 for no such bound. `early`: the measured phase ends once it is decided (`client.early`), be it by the pace of
    `rival`, a cell, in requests per second, 0 for none; `control`: the cell is a null control. `shares` and `of_rows`: of a mix
    of tasks (`experiment.mix`), else empty; `queues`: of each row, if the messages go to several. `arrivals_seed` and
    `rows_seed`: see `harness.experiment.seeds`.
    """

    url: str
    queue: str
    traffic: str
    rows: int
    batch: int
    measure_s: float
    requests: int
    warmup_limit_s: float
    stable_limit_s: float
    search_s: float
    executors: int
    by_thread: bool
    in_flight_warmup: int
    arrivals_seed: int
    rows_seed: int
    events_dir: str
    result: str
    prefix: str
    few: bool = False
    cold: bool = False
    most_s: float = 0.0
    at_once: int = 1
    results: str = ""  # URL of a Valkey that the answers go to, if that is not the broker
    results_prefix: str = ""  # of the keys of answers there
    early: bool = False
    control: bool = False
    rival: str = ""
    rival_per_s: float = 0.0
    shares: Sequence[float] = ()
    of_rows: Sequence[int] = ()
    queues: Sequence[str] = ()
    messages: str = ""  # a file with one message a row, of somebody's own application; '': messages of our own task
    rate_limited: bool = False  # by the task's own limit
    kept: str = ""  # a file that has the message of our own task, or will have it, see `client.own_message`

    @property
    def firsts(self) -> int:
        """How many requests a cold worker gets at once."""
        return self.at_once if self.messages else 1

    def write(self, path: Path) -> None:
        path.touch(mode=0o600)  # it holds the broker's password
        path.write_text(json.dumps(asdict(self)))


def new_prefix() -> str:
    """The common beginning of a trial's task ids: 24 hexadecimal digits."""
    return uuid.uuid4().hex[:24]


def request_id(prefix: str, number: int) -> str:
    """Celery's task id of a request.

    >>> request_id("0" * 24, 255)
    '00000000-0000-0000-0000-0000000000ff'
    """
    return f"{prefix[:8]}-{prefix[8:12]}-{prefix[12:16]}-{prefix[16:20]}-{prefix[20:24]}{number:08x}"
