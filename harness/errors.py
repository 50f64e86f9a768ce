"""Our exceptions: each says what happened and what to do, and carries the exit code of the command line.

`cli.py` prints them as one `error:` line with the remedy below it; nothing else turns an exception into an exit.
"""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the command line, all of them; `docs/reference/exit-codes.md` has the same table."""

    DONE = 0
    CHECK_FAILED = 1
    USAGE = 2
    BAD_INPUT = 3
    NOTHING_MATCHES = 4
    MISSING_TOOL = 5
    BROKER_UNREACHABLE = 6
    NOT_PERMITTED = 7
    CANNOT_WRITE = 8
    NO_ADVICE = 9
    BUILD_FAILED = 10
    FAILED = 11
    DEFECT = 12
    STUCK = 20
    WAITS = 21
    CANNOT_SAY = 22
    BREAKS = 23
    WORSE = 24
    UNDECIDED = 25
    INTERRUPTED = 130
    PIPE_CLOSED = 141


MEANING = {
    Exit.DONE: "done; for a run: complete, whatever the outcomes are",
    Exit.CHECK_FAILED: "a check failed: `compare --fail-on`, `selftest`, `selfcost`, `doctor`; `why --probe`: stuck",
    Exit.USAGE: "a wrong option or command",
    Exit.BAD_INPUT: "an experiment, an option's value, a folder or a model file is not what it should be",
    Exit.NOTHING_MATCHES: "no cell, test or fault matches",
    Exit.MISSING_TOOL: "an interpreter, a compiler or another program is missing",
    Exit.BROKER_UNREACHABLE: "the broker does not answer, or refuses us",
    Exit.NOT_PERMITTED: "the system does not let us look at our own processes",
    Exit.CANNOT_WRITE: "the disk is full or read-only, or the place cannot be written to",
    Exit.NO_ADVICE: "`recommend`, `tune`: no configuration can be advised",
    Exit.BUILD_FAILED: "no environment could be built",
    Exit.FAILED: "something else failed that you can act on; the message says how",
    Exit.DEFECT: "a defect of the harness; the traceback is printed",
    Exit.STUCK: "`why`: a worker is stuck, which is proved",
    Exit.WAITS: "`why`: a worker waits for something, and nobody can say that it will not come",
    Exit.CANNOT_SAY: "`why`: whether a worker is stuck cannot be said",
    Exit.BREAKS: "`check`: an error was found in the application",
    Exit.WORSE: "`gate`: the change makes serving worse",
    Exit.UNDECIDED: "`gate`: within the budget, it cannot be said whether serving is worse",
    Exit.INTERRUPTED: "stopped on request; what was measured is kept",
    Exit.PIPE_CLOSED: "whoever read the output closed it",
}


class HarnessError(Exception):
    """Something the user can act on. `remedy` says how, `evidence` says where to look."""

    exit_code = Exit.FAILED

    def __init__(self, message: str, *, remedy: str = "", evidence: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.evidence = evidence


class BadInput(HarnessError):
    """An experiment, a pattern, an option or a model file is not what it should be."""

    exit_code = Exit.BAD_INPUT


class NothingMatches(HarnessError):
    """A pattern selects no cell."""

    exit_code = Exit.NOTHING_MATCHES


class MissingTool(HarnessError):
    """An interpreter, a compiler or another program that the work needs is not there."""

    exit_code = Exit.MISSING_TOOL


class BuildFailed(HarnessError):
    """An environment could not be built: its versions do not fit each other or its Python, or a package does not import."""

    exit_code = Exit.BUILD_FAILED


class BrokerUnreachable(HarnessError):
    """The message broker does not answer, or refuses us."""

    exit_code = Exit.BROKER_UNREACHABLE


class NotPermitted(HarnessError):
    """The system does not let us look at our own processes."""

    exit_code = Exit.NOT_PERMITTED


class CannotWrite(HarnessError):
    """A record could not be written: disk full, or no right to write."""

    exit_code = Exit.CANNOT_WRITE


class Interrupted(HarnessError):
    """The user asked to stop; what was measured is kept."""

    exit_code = Exit.INTERRUPTED
