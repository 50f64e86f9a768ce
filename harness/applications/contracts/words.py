"""What is said of a request that a limit left without an answer, that was revoked, or that raises of itself. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from harness.studies.contracts.bench import CannotSay

CELERYS = frozenset({"PENDING", "RECEIVED", "STARTED", "RETRY"})  # states of a request that has not ended

RAISED, OF_ITSELF = "raised ", "of itself "  # how fates begin: of an error, and of one that is the task's own
#: errors that Celery and billiard raise in the place of a task's answer, and what ends a thread that is to stop
OF_THE_WORKER = frozenset({
    "WorkerLostError", "Terminated", "TimeLimitExceeded", "SoftTimeLimitExceeded", "TaskRevokedError", "WorkerShutdown",
    "WorkerTerminate", "RestartFreqExceeded", "SystemExit", "KeyboardInterrupt", "GreenletExit",
})  # fmt: skip


def themselves(found: Mapping[int, str], ended: Collection[int], running: int, raises: Collection[str] = ()) -> dict[int, str]:
    """The fates, with an error that a request has raised of itself told as that: it ran to its end (`ended`), and the error is
    none that stands for a lost executor. That of the request in flight counts if another one raised the same, or a call without
    Celery (`raises`).

    >>> themselves({1: "answered", 2: "raised KeyError", 3: "raised WorkerLostError"}, [1, 2], 3)
    {1: 'answered', 2: 'of itself raised KeyError', 3: 'raised WorkerLostError'}
    >>> themselves({1: "raised OSError", 2: "answered"}, [1, 2], 1)
    {1: 'raised OSError', 2: 'answered'}
    """
    kinds = {number: word.split(",")[0].removeprefix(RAISED) for number, word in found.items() if word.startswith(RAISED)}
    own = {number: kind for number, kind in kinds.items() if number in ended and kind not in OF_THE_WORKER}
    others = {*raises, *(kind for number, kind in own.items() if number != running)}
    return {
        number: f"{OF_ITSELF}{word}" if number in own and (number != running or own[number] in others) else word
        for number, word in found.items()
    }


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
    """By what became of the request, and of the next one: a child that SIGTERM met as it imported an engine may live on. Raises
    CannotSay for an error of the task itself before an executor that goes on.

    >>> [revoke_verdict(*each) for each in (("TaskRevokedError", "answered"), ("TaskRevokedError", "SystemError"))]
    ['ended', 'ended, the next fails']
    >>> revoke_verdict("answered", "answered"), revoke_verdict("TaskRevokedError", "")
    ('not ended', 'no answer')
    """
    if outcome == "answered":
        return "not ended"
    if not outcome or not then:
        return "no answer"
    if then != "answered":
        return "ended, the next fails"
    if outcome not in OF_THE_WORKER:
        raise CannotSay(f"the request raised {outcome}, which the task may have done without the revoke")
    return "ended"
