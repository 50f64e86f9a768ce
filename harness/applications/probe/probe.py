"""The whole probe: an order of the user's, learned by asking the application, is a source of the run loop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path

import pandas as pd

from harness.applications.probe import again, by_settings, calls, learn, varied
from harness.applications.probe import serving as servings
from harness.applications.probe.budget import Budget
from harness.applications.probe.calls import Shares
from harness.applications.probe.expected import Expected
from harness.applications.probe.header import APPLICATION, from_here
from harness.applications.probe.learn import Facts
from harness.applications.probe.order import ProbeOrder, cells, hosts
from harness.applications.probe.serving import Serving
from harness.applications.probe.sizing import Sizing
from harness.applications.probe.source import ApplicationSource
from harness.client import deck
from harness.environments import Environment
from harness.errors import BadInput
from harness.experiment import seeds
from harness.experiment.matrix import OWN_APP
from harness.experiment.mix import Mix
from harness.records.store import RunFolder
from harness.run import workflow
from harness.run.source import Desk, Terms
from harness.texts import few, hide
from harness.trial.application import Application
from harness.worker import own_variables

FEWEST_WITNESSES = 2  # with other hash seeds each; more, if the busiest cell runs more requests at once
MOST_TURNS = 1000
MOST_WITNESSES = 16  # each is a process that imports the application, and a gevent worker may run thousands of requests at once
OUTSIDE = (
    "copy: no module of the application is imported from the copy (it is installed, or on PYTHONPATH): what the task writes "
    "beside its own files is not in the copy"
)
SOURCE_MOST = 2_000_000  # bytes of a module that is read


def run(order: ProbeOrder, screen: workflow.Screen) -> pd.DataFrame:
    """Carry out an order; the table. Raises Interrupted after a Ctrl-C, with everything kept."""
    return workflow.run(Probe(order=order), screen)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An order, as the run loop takes it. `known`: the source of an earlier run of the same search, and where this one's is
    kept for the next; its application is not asked anew, and its serial calls are not made again. `search`: takes what is
    started for all of them, such as a RabbitMQ; None: each run starts its own. `on_valkey`: the verb measures on nothing else.
    """

    order: ProbeOrder
    known: list[ApplicationSource] = field(default_factory=list)
    search: ExitStack | None = None
    on_valkey: bool = False

    @property
    def terms(self) -> Terms:
        order = self.order
        return Terms(
            folder=order.out, settings=order.settings, cells=cells(order), what="probe", fresh=order.fresh, retry=order.retry
        )

    def admit(self, folder: RunFolder) -> None:
        """Raise BadInput where the folder holds a probe of something else: advice would mix the two."""
        order, known = self.order, folder.read_json("run.json").get(APPLICATION)
        asked = {"app": order.app, "task": order.task, "queue": order.queue}
        if not folder.has_trials or not known:
            return
        place, lies = known.get("from_here", {}).get("folder"), from_here(order)["folder"]
        if any(known.get(name) != value for name, value in asked.items()) or place not in (None, lies):
            where = f", in {place}" if place else ""
            where += f", in queue {known['queue']}" if known.get("queue") else ", without --queue" if order.queue else ""
            raise BadInput(
                f"{folder.path} holds a probe of {known['task']} in {known['app']}{where}",
                remedy="name another --out, or set it aside with --fresh",
            )

    def source(self, desk: Desk) -> ApplicationSource:
        """Ask the application what it is. What its variables call a secret stands in no log, reason or page from now on. Raises
        BadInput or HarnessError with its log."""
        hide(self.order.variables)
        desk = replace(desk, held=None) if self.on_valkey else desk
        order, bare, budget = self.order, _bare(self.order, desk), Budget(seconds=self.order.budget_s)
        before = self.known[-1] if self.known else None
        facts, serving = (
            (before.facts, servings.again(before.serving, desk, self.search)) if before
            else _asked(order, bare, desk, self.search)
        )  # fmt: skip
        order, said = by_settings.settled(order, facts.told)
        if said:
            desk.say(said)
        shares = _shares(order, facts)
        whole = replace(_complete(bare, facts, order, desk, serving), most_calls=shares.serial if shares else 0)
        started = whole, serving.broker.url, desk.interrupted
        found = ApplicationSource(
            order=order, application=whole, facts=facts, environment=_environment(order, facts),
            sources=_digest(facts), code=code(order, facts), folder=desk.folder, say=desk.say,
            expected=Expected(
                order=order, say=desk.say, rows=len(order.rows), turns=bare.turns, asks_eager=facts.told["asks_eager"]
            ),
            sizing=Sizing(order=order, budget=budget, share=shares.trial if shares else None),
            calls=again.Calls(now=partial(again.calls, *started), later=None if shares else partial(again.later, *started)),
            serving=serving,
        )  # fmt: skip
        self.known[:] = [found.goes_on_from(before) if before else found]
        return self.known[-1]


def _asked(
    order: ProbeOrder, bare: Application, desk: Desk, search: ExitStack | None = None
) -> tuple[Facts, Serving]:  # fmt: skip
    """What the application is and what serves it, and what is said of its settings."""
    if known := hosts(order.variables):
        named = few([f"{host} ({name})" for host, name in known.items()])
        desk.say(f"note: its variables lead to {named}; the task is called for real, and may use what is there")
    desk.say(f"asking {order.app} what it is")
    found, serving = learn.facts(order, bare, desk, partial(servings.opened, desk=desk, search=search))
    queues = order.line.queues if order.line and not order.queue and found.celery >= own_variables.FIRST else []
    if queues and (own := [name for name in found.queue_names if name not in queues]):
        which = "the task's own route leads" if order.mix is None else "routes of its tasks lead"
        elsewhere = f"{which} to {', '.join(map(repr, own))}, which it does not consume"
        desk.say(f"worker line: {elsewhere}: requests are sent to {queues[0]!r}")
        found, serving = learn.facts(replace(order, queue=queues[0]), bare, desk, lambda asked: serving)
    if order.origin and not found.told["files"]:
        desk.say(OUTSIDE)
    for line in varied.said(found.told["said"], order.varied):
        desk.say(f"settings: {line}")
    if order.line and order.line.options and found.celery < own_variables.FIRST:
        lost = " ".join(order.line.arguments)
        desk.say(
            f"worker line: Celery {found.told['celery']} reads options from the line alone, so these do not hold here: {lost}"
        )
    if order.line and order.line.script and not order.script:
        desk.say("worker line: no script celery lies beside --python, so workers are started as python -m celery")
    if more := more_queues(order, found):
        desk.say(
            f"mix: its tasks go to {', '.join(found.queue_names)}, so each worker is started with --queues {','.join(more)}"
        )
    desk.say(calls.announced(order.max_calls, search=bool(order.grid)))
    return found, serving


def _bare(order: ProbeOrder, desk: Desk) -> Application:
    """The application before anything is known of it."""
    rows = (desk.scratch / "rows.json").resolve()
    rows.write_text(json.dumps(order.rows))
    return Application(
        app=order.app, tasks=order.tasks, python=order.python, folder=order.folder, own_variables=order.variables, rows=rows,
        queue=order.queue, mix=order.mix, turns=turns(order.mix) if order.mix else in_any_order(len(order.rows)),
    )  # fmt: skip


def turns(mix: Mix) -> tuple[int, ...]:
    """The rows that serial calls take in turn, each as often as in a worker: of each task a share of them, its own in turn."""
    size = min(MOST_TURNS, deck.block_size(mix.shares))
    counts = deck.dealt(mix.shares, size, [0] * len(mix.shares))
    own = [cycle([row for row, of in enumerate(mix.of_rows) if of == task]) for task in range(len(mix.tasks))]
    return tuple(next(own[task]) for task, count in enumerate(counts) for _ in range(count))


def in_any_order(rows: int) -> tuple[int, ...]:
    """Likewise, of one task: round by round, each in another order, for an answer may hang on the request before it.

    >>> sorted(in_any_order(3)[:3]), len(in_any_order(300)), in_any_order(1)
    ([0, 1, 2], 900, ())
    """
    dice = seeds.dice("turns", rows)
    rounds = max(1, MOST_TURNS // rows) if rows > 1 else 0
    return tuple(int(row) for _ in range(rounds) for row in dice.permutation(rows))


def witnesses(concurrency: Sequence[int]) -> int:
    """How many processes make the serial calls again, at once.

    >>> witnesses([1]), witnesses([2, 4]), witnesses([5000])
    (2, 4, 16)
    """
    return min(MOST_WITNESSES, max([FEWEST_WITNESSES, *concurrency]))


def _complete(bare: Application, facts: Facts, order: ProbeOrder, desk: Desk, serving: Serving) -> Application:
    messages = (desk.scratch / "messages.json").resolve()
    messages.write_text(json.dumps(list(facts.messages)))
    return replace(
        bare, script=order.script, queue_keys=facts.queue_keys, messages=messages, settings=facts.told["settings"],
        celery=facts.celery,
        queue=order.queue or ",".join(more_queues(order, facts)), limits_of=facts.limits_of,
        witnesses=witnesses(order.concurrency), varied=order.varied,
        key_prefix=facts.told["key_prefix"], results=serving.results, results_prefix=facts.told["results_prefix"],
    )  # fmt: skip


def more_queues(order: ProbeOrder, facts: Facts) -> list[str]:
    """All queues that its worker has to be told of, if a mix goes to some that it would not consume by itself; else none."""
    unasked = facts.told.get("consumes", [])
    if order.mix is None or order.queue or (order.line and order.line.queues) or set(facts.queue_names) <= set(unasked):
        return []
    return list(dict.fromkeys([*unasked, *facts.queue_names]))


def _shares(order: ProbeOrder, facts: Facts) -> Shares | None:
    """Of the calls, if they are bounded. Raises BadInput."""
    if order.max_calls is None:
        return None
    real = [cell for cell in cells(order) if not cell.is_baseline and not learn.why_skipped(cell, facts)]
    return calls.shares(order.max_calls, rows=len(order.rows), trials=len(real) * order.settings.repeat)


def _environment(order: ProbeOrder, facts: Facts) -> Environment:
    """The user's own, as far as a trial asks for one."""
    installed = facts.told["installed"]
    digest = hashlib.sha256(json.dumps([installed, facts.told["python"]], sort_keys=True).encode()).hexdigest()[:12]
    return Environment(
        name=OWN_APP, python=order.python, directory=order.python.parent.parent, fingerprint=digest, installed=installed,
        variables={}, interpreter_version=facts.told["python"], facts={}, cache_dir=order.python.parent.parent,
    )  # fmt: skip


def _digest(facts: Facts) -> str:
    """Of the application's own source files: a probe after a change of code is another one."""
    found = hashlib.sha256()
    for name in facts.told["files"]:
        found.update(Path(name).read_bytes())
    return found.hexdigest()


def code(order: ProbeOrder, facts: Facts) -> dict[str, str]:
    """The text of the application's own modules, by path below its folder."""
    found = {}
    for name in facts.told["files"]:
        path = Path(name)
        if path.stat().st_size < SOURCE_MOST:
            found[str(path.relative_to(order.folder.resolve()))] = path.read_text(errors="replace")
    return found
