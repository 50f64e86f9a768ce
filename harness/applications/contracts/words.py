"""What is said of a request that a limit left without an answer, or that was revoked. Pure."""

from __future__ import annotations

from collections.abc import Sequence

CELERYS = frozenset({"PENDING", "RECEIVED", "STARTED", "RETRY"})  # states of a request that has not ended


def left_as(states: Sequence[str]) -> str:
    """In which states requests are that have no answer. One of the task's own may have replaced the error: until its child is
    gone, the task goes on, and stores them.

    >>> left_as([]), left_as(["STARTED"]), left_as(["PROGRESS", "PROGRESS"])
    ('', '; left as STARTED', '; left as PROGRESS, which the task stores itself: it may have replaced the error')
    """
    if not states:
        return ""
    own = sorted(set(states) - CELERYS)
    also = ", which the task stores itself: it may have replaced the error" if own else ""
    return f"; left as {', '.join(sorted(set(states)))}{also}"


def revoke_verdict(outcome: str, then: str) -> str:
    """By what became of the request, and of the next one: a child that SIGTERM met as it imported an engine may live on.

    >>> [revoke_verdict(*each) for each in (("TaskRevokedError", "answered"), ("TaskRevokedError", "SystemError"))]
    ['ended', 'ended, the next fails']
    >>> revoke_verdict("answered", "answered"), revoke_verdict("TaskRevokedError", "")
    ('not ended', 'no answer')
    """
    if outcome == "answered":
        return "not ended"
    if not outcome or not then:
        return "no answer"
    return "ended" if then == "answered" else "ended, the next fails"
