"""Our exceptions: each says what happened and what to do, and carries the exit code of the command line.

`cli.py` prints them as one `error:` line with the remedy below it; nothing else turns an exception into an exit.
"""


class HarnessError(Exception):
    """Something the user can act on. `remedy` says how, `evidence` says where to look."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", evidence: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.evidence = evidence


class BadInput(HarnessError):
    """An experiment, a pattern, an option or a model file is not what it should be."""

    exit_code = 3


class NothingMatches(HarnessError):
    """A pattern selects no cell."""

    exit_code = 4


class MissingTool(HarnessError):
    """An interpreter, a compiler or another program that the work needs is not there."""

    exit_code = 5


class BuildFailed(HarnessError):
    """An environment could not be built: its versions do not fit each other or its Python, or a package does not import."""


class BrokerUnreachable(HarnessError):
    """The message broker does not answer, or refuses us."""

    exit_code = 6


class NotPermitted(HarnessError):
    """The system does not let us look at our own processes."""

    exit_code = 7


class CannotWrite(HarnessError):
    """A record could not be written: disk full, or no right to write."""

    exit_code = 8


class Interrupted(HarnessError):
    """The user asked to stop; what was measured is kept."""

    exit_code = 130
