"""What is made of py-spy's answers about a process that goes on meanwhile: a quarter of those without a stop show nothing."""

from __future__ import annotations

import json

import pytest

from harness.observe import stacks

TORN = ("", "Error: Failed to get stack traces\n\nCaused by:\n    3: Bad address (os error 14)")
GONE = ("", "Error: Failed to get process executable name. Check that the process is running.")


def told(*, active: bool, frames: int) -> tuple[str, str]:
    """An answer about one thread, as py-spy writes it in JSON."""
    one = {"thread_id": 7, "os_thread_id": 7, "active": active, "owns_gil": active, "frames": [{"name": "f"}] * frames}
    return json.dumps([one], indent=2), ""


def shown(*, active: bool, frames: int) -> tuple[str, str]:
    """The same in its text."""
    return f"Thread 7 ({'active+gil' if active else 'idle'})\n" + "    f (x.py:1)\n" * frames, ""


WHOLE, BARE, IDLE = told(active=True, frames=2), told(active=True, frames=0), told(active=False, frames=0)


@pytest.mark.parametrize(
    ("answers", "frames"),
    [
        ([WHOLE], 2),
        ([TORN, WHOLE], 2),
        ([BARE, TORN, WHOLE], 2),
        ([IDLE], 0),
        ([BARE] * stacks.LOOKS, 0),
        ([BARE, *[TORN] * (stacks.LOOKS - 1)], 0),
        ([TORN] * stacks.LOOKS, None),
        ([GONE], None),
        ([("no JSON", "")], None),
    ],
    ids=["seen", "torn", "bare", "idle", "always bare", "bare, then torn", "always torn", "gone", "not to be read"],
)
def test_what_goes_on_is_looked_at_anew(
    answers: list[tuple[str, str]], frames: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(answers)
    monkeypatch.setattr(stacks, "_ask", lambda argv, limit_s: next(left))
    found = stacks.dumped(7, "--nonblocking")
    assert (found and len(found[0]["frames"])) == frames
    assert list(left) == []


def test_a_process_is_not_stopped_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([BARE, WHOLE])
    monkeypatch.setattr(stacks, "_ask", lambda argv, limit_s: next(left))
    assert stacks.dumped(7, "--native") == json.loads(BARE[0])


@pytest.mark.parametrize("first", [TORN, shown(active=True, frames=0)])
def test_the_text_is_looked_for_anew_too(first: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([first, shown(active=True, frames=1)])
    monkeypatch.setattr(stacks, "_ask", lambda argv, limit_s: next(left))
    assert stacks.frames_of(stacks.text(7), 7) == ("f (x.py:1)",)
    monkeypatch.setattr(stacks, "_ask", lambda argv, limit_s: shown(active=False, frames=0))
    assert stacks.text(7) == "Thread 7 (idle)\n"
