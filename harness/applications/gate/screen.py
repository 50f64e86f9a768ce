"""A gate in the terminal: a line per pair, and the decision."""

from __future__ import annotations

from rich.text import Text

from harness.applications.gate import pages
from harness.applications.gate.gate import GateAnswer
from harness.applications.gate.rule import Decision, Pair, Trial, Word
from harness.display import duration
from harness.run.screen import PrintingScreen
from harness.terminal import console

STYLES = {Word.PASSES: "bold green", Word.WORSE: "bold red", Word.CANNOT_SAY: "bold magenta"}


class GateScreen(PrintingScreen):
    """Lines of pairs instead of rows of trials."""

    def paired(self, pool: str, pair: Pair, decision: Decision) -> None:
        """'prefork  base 81.2/s  head 73.0/s' and what all pairs of the pool say now."""
        told = f"{pool}: base {_told(pair.base)}, head {_told(pair.head)}"
        console.print(Text(told).append(f"  {decision.reason}", style="dim"), soft_wrap=True)


def _told(one: Trial) -> str:
    return f"{one.pace_per_s:.1f}/s" if one.pace_per_s else str(one.outcome)


def decided(answer: GateAnswer) -> None:
    """What was compared, the word of each pool, and the gate's."""
    for one in answer.pools:
        found = one.decision
        text = Text(f"{found.word}", style=STYLES[found.word]).append(f"  {one.name}: {found.reason}", style="default")
        if evidence := next(
            (pair.head.evidence for pair in reversed(one.pairs) if pair.head.failed and pair.head.evidence), one.evidence
        ):
            text.append(f"\n  evidence: {answer.order.out}/{evidence}", style="dim")
        console.print(text, soft_wrap=True)
    took = f"{duration(answer.seconds)} of {duration(answer.order.budget_s)}"
    console.print(
        Text(f"\n{pages.title(answer)}: {answer.base.short} -> {answer.head.short}, in {took}", style=STYLES[answer.word]),
        soft_wrap=True,
    )
    if more := pages.next_step(answer):
        console.print(more, soft_wrap=True)
    console.print(f"records: {answer.order.out}/{{base,head}}  decision: {answer.order.out}/gate.json", soft_wrap=True)
