"""What a trial left, and its checked requests, as plain values that show where each number comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.records.answers import Requests
from harness.trial.left import Left
from tests import replay
from tests.plain_trial import CHILD

NS = 10**9


def left_in(folder: Path) -> Left:
    """A trial of two executors that was ready after 3 s, and measured from second 10 to second 20."""
    one = replay.once("ok-prefork").left
    signs = replace(
        one.signs, started_s=2.0, ready_at_s=5.0, last_event_s=30.0, phase_at_s={"measure": 10.0, "drain": 20.0}, published=9,
        waiting=4, quiet_s=1.5, longest_silence_s=2.5, load_seconds={7: 0.5}, dead=frozenset({1, 2}), lost=frozenset({0, 3}),
    )  # fmt: skip
    return replace(one, signs=signs, events=folder, result=folder / "requests.npz")


def requests(received: list[float], **more: Any) -> Requests:
    """Requests published a second before their answer, begun half a second before, and predicted in a quarter; seconds."""
    n, at = len(received), np.array(received)
    answered = at >= 0
    moments = {"published": 1.0, "sent": 0.9, "begin": 0.5, "predict_begin": 0.4, "predict_end": 0.15}
    columns: dict[str, Any] = {
        "number": np.arange(n), "phase": np.full(n, 2), "pid": np.full(n, CHILD), "tid": np.full(n, CHILD),
        "received": np.where(answered, at * NS, -1).astype(np.int64), "error": np.full(n, ""),
        **{name: np.where(answered, (at - before) * NS, -1).astype(np.int64) for name, before in moments.items()},
        "worker_received": np.full(n, -1), "written": np.full(n, -1),
        **{name: np.array(values) for name, values in more.items() if name not in ("right", "raised")},
    }  # fmt: skip
    columns["intended"] = columns["published"]
    raised = np.array(more.get("raised", [False] * n), dtype=bool)
    return Requests(
        columns=columns, answered=answered & ~raised, right=np.array(more.get("right", answered & ~raised), dtype=bool),
        raised=raised, difference=np.where(answered, 0.25, np.nan),
    )  # fmt: skip
