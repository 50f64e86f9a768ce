"""What every cookbook can do, from the few things in which engines differ. Nothing here knows an engine by name.

A backend's `Cookbook` fills in the fields of this class and, if its engine threads can be limited, `limits` or `limiting`.
"""

import textwrap
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from harness.backends.cookbook.placements import PLACEMENTS

ROWS = ("rows = numpy.asarray(rows, dtype='float32')",)  # a user's task is given rows


class Call(NamedTuple):
    """`expression`: the answer as an array, from `{model}` and `{rows}`. `within`: the context that it needs.

    `keeps`: (name, expression) of what `load()` has to keep for that, right after the load.
    `imports`: a statement that comes first. `options`: statements of `load()` that this way of asking needs, see
    `Cookbook.optional`. `often`: the expression asks for the model more than once.
    """

    expression: str
    within: str = ""
    keeps: Tuple[Tuple[str, str], ...] = ()
    imports: str = ""
    options: Tuple[str, ...] = ()
    often: bool = False

    def asked(self, model: str, rows: str, target: str = "") -> str:
        """The statements that ask the model."""
        line = target + self.expression.format(model=model, rows=rows)
        asking = "with %s:\n    %s" % (self.within, line) if self.within else line
        return "%s\n%s" % (self.imports, asking) if self.imports else asking


class Cookbook:
    """The fields are a backend's to fill in; `intra` and `inter` are its engine threads, None if the library chooses."""

    model_file = ""  # that its library can read
    imports = ""  # the statement that brings the library
    loaded = ""  # expression: the model in the file at {path}
    limited = ""  # the same behind the statements of `optional`, `limits` or a call's `options`, if it needs something of them
    optional: Tuple[str, ...] = ()  # what comes before these
    calls: Dict[str, Call] = {}
    environment: Dict[str, str] = {}  # variables that every worker needs
    quiet: Dict[str, str] = {}  # variables that only keep the log short
    opens_session = False  # with limited threads, each load opens a session of its own

    def limits(self, intra: int, inter: int) -> List[str]:
        """Statements of `load()` that limit engine threads; they stand before the load."""
        return []

    def limiting(self, intra: int, inter: int) -> Dict[str, str]:
        """Variables that limit engine threads."""
        return {}

    def variables(self, intra: Optional[int], inter: Optional[int]) -> Dict[str, str]:
        """What stands in the worker's environment."""
        limiting = {} if intra is None or inter is None else self.limiting(intra, inter)
        return {**self.environment, **limiting}

    def load(self, call: str, *, path: str, intra: Optional[int], inter: Optional[int]) -> str:
        """The function `load()`, which returns the model. `path`: of the model's file, an expression."""
        limits = [] if intra is None or inter is None else self.limits(intra, inter)
        limits = [*limits, *self.calls[call].options]
        limits = [*(self.optional if limits else ()), *limits]
        lines, kept = [self.imports, *limits], self.calls[call].keeps
        loaded = (limits and self.limited or self.loaded).format(path=path)
        if kept:
            names, values = ", ".join(name for name, _ in kept), ", ".join(value for _, value in kept)
            lines = ["global " + names, *lines, "model = " + loaded, "%s = %s" % (names, values), "return model"]
        else:
            lines = [*lines, "return " + loaded]
        return "\n".join(["def load():", *("    " + line for line in lines)])

    def place(self, call: str, placement: str) -> str:
        """Who calls `load()`, and when. May need EXAMPLE: rows to ask with."""
        return PLACEMENTS[placement].code.replace("{ask}", self.calls[call].asked("MODEL", "EXAMPLE"))

    def task(
        self,
        call: str,
        placement: str,
        *,
        name: str = "",
        given: str = "rows",
        rows: Sequence[str] = ROWS,
        returned: str = "answer.tolist()",
    ) -> str:
        """The Celery task that asks the model. `given`: its argument, from which the statements `rows` make `rows`."""
        asked, place = self.calls[call], PLACEMENTS[placement]
        options = ['name="%s"' % name] if name else []
        options += ["base=%s" % place.base, "bind=True"] if place.base else []
        model, lines = place.model, list(rows)
        if place.lazy and (asked.keeps or asked.often):  # what the load keeps is there only after it
            model, lines = "loaded", [*lines, "loaded = " + model]
        lines += [asked.asked(model, "rows", "answer = "), "return " + returned]
        head = "@app.task(%s)\ndef predict(%s%s):\n" % (", ".join(options), "self, " if place.base else "", given)
        return head + textwrap.indent("\n".join(lines), "    ")
