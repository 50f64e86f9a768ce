"""The command line: one small function a verb. The only place that prints, and that turns errors into exit codes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.status import Status

from harness import __version__, display, environments, workloads
from harness.applications.probe import command as probing
from harness.decide.advise.ranking import Advice
from harness.errors import BadInput, HarnessError
from harness.experiment import experiment, matrix
from harness.experiment.experiment import Experiment, Settings
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.proof.instrument.suite import Found, InstrumentCheck
from harness.records import store
from harness.records.record import TrialRecord
from harness.report import waterfall_view
from harness.run import bundles, experiment_source, plan, workflow
from harness.run.plan import Planned
from harness.studies.claims import claims, claims_page, incidents, incidents_page
from harness.studies.claims.dossier import Dossier
from harness.summary import summary

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__ and (
    "Which Celery pool and which Keras backend to serve a model with, from measurements."
))  # fmt: skip
console = Console(highlight=False)
complaints = Console(stderr=True, highlight=False)

Name = Annotated[str, typer.Argument(help="A shipped experiment, or a .toml file.")]
Select = Annotated[list[str] | None, typer.Option("--select", "-s", help="Only cells whose id matches, such as 'theano-*'.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Set an earlier run aside instead of completing it.")]
Retry = Annotated[str, typer.Option(help="Run again what ended so: 'failed', or outcomes, 'hung,invalid'.")]
Repeat = Annotated[int | None, typer.Option(min=1, help="Trials a cell, in shuffled order.")]
OwnBroker = Annotated[str, typer.Option("--broker", help="Your own broker, redis://…, instead of a private one.")]
FromRecords = Annotated[bool, typer.Option("--from-records", help="Run nothing: judge what is on record.")]
Latency = Annotated[list[str] | None, typer.Option(help="A bound on a percentile, such as p99=50ms; may be given again.")]
Memory = Annotated[str, typer.Option(help="The most memory of a worker with its children, such as 4GiB.")]
Cores = Annotated[float | None, typer.Option(min=0.1, help="The most cores that it may keep busy.")]
MinThroughput = Annotated[float | None, typer.Option(min=0, help="The least requests a second.")]
MaxHangRate = Annotated[str, typer.Option(help="The most fresh workers that may hang, such as 1%.")]
Model = Annotated[Path | None, typer.Option("--model", help="Run your own .keras or .h5 file instead of the workloads.")]


class PrintingScreen:
    """Rows as trials end; on a terminal, a status line below with what runs now and the time left."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._headed = False

    def say(self, text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    def begins(self, item: Planned, index: int, total: int, left_s: float) -> None:
        if not self._headed:
            console.print(display.header(), soft_wrap=True)
            self._headed = True
        if item.skip:
            return
        text = f"{index + 1} of {total}: {item.cell.id}  (about {display.duration(left_s)} left)"
        if not console.is_terminal:
            return
        if self._status is None:
            self._status = console.status(text)
            self._status.start()
        self._status.update(text)

    def ended(self, record: TrialRecord, row: dict[str, Any]) -> None:
        console.print(display.line(row), soft_wrap=True)

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()


@app.command()
def run(
    name: Name = "quick",
    select: Select = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    fresh: Fresh = False,
    retry: Retry = "",
    repeat: Repeat = None,
    broker: OwnBroker = "",
    model: Model = None,
    rows: Annotated[Path | None, typer.Option("--input", help="Input rows (.npy) for --model.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; results/EXPERIMENT if not given.")] = None,
    measure_s: Annotated[float | None, typer.Option(min=0.1, help="Measure each cell this long, seconds.")] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="And at least this many requests.")] = None,
    limit_s: Annotated[float | None, typer.Option(min=1, help="Cut a trial off this long after READY, seconds.")] = None,
) -> None:
    """Run an experiment: real workers, one cell after the other. Completes an earlier run of the same plan."""
    overrides = {"measure_s": measure_s, "requests": requests, "limit_s": limit_s, "repeat": repeat}
    spec = _experiment(name, overrides)
    cells = _cells(spec, select, model)
    if rows is not None and model is None:
        raise BadInput("--input goes with --model", remedy="name the model file, too")
    if dry_run:
        display.cells(console, [(cell.id, plan.why_skipped(cell)) for cell in cells])
        console.print(f"{len(cells) * spec.settings.repeat} trials")
        return
    folder = out or Path("results") / (f"{spec.name}-{model.stem}" if model else spec.name)
    order = experiment_source.RunOrder(
        experiment=spec, cells=cells, folder=folder, broker_url=broker, model=model, rows=rows, fresh=fresh,
        retry=plan.retry_outcomes(retry),
    )  # fmt: skip
    with contextlib.closing(PrintingScreen()) as screen:
        table = workflow.run(order, screen)
    _sum_up(table, folder)


@app.command()
def probe(
    app_: probing.App,
    task: probing.Task,
    args: probing.Args,
    python: probing.Python = "python",
    env_file: probing.EnvFile = None,
    cwd: probing.Cwd = Path(),
    pools: probing.Pools = "",
    concurrency: probing.Concurrency = "2",
    queue: probing.Queue = "",
    check: probing.Check = "",
    requests: probing.Requests = 50,
    measure_s: probing.MeasureS = 3.0,
    ready_limit_s: probing.ReadyLimit = 120.0,
    limit_s: probing.Limit = 120.0,
    noise_limit: Annotated[float, typer.Option(help="Believe no figure while others use more of the cores than this.")] = 0.5,
    traffic: Annotated[str, typer.Option(help="When requests are sent: closed-4, poisson-20, drain, …")] = "closed-4",
    repeat: Repeat = None,
    fresh: Fresh = False,
    retry: Retry = "invalid",
    out: Annotated[Path, typer.Option(help="The probe's folder.")] = Path("results/probe"),
) -> None:
    """Run your own Celery application, unchanged, in every pool that it can have, and see how each ends."""
    from harness.applications.probe import probe as prober

    settings = _settings(
        measure_s=measure_s, requests=requests, ready_limit_s=ready_limit_s, limit_s=limit_s, warmup_limit_s=limit_s / 2,
        noise_limit=noise_limit, repeat=repeat or 1, controls=False,
    )  # fmt: skip
    order = probing.read(
        app=app_, task=task, args=args, python=python, env_file=env_file, cwd=cwd, pools=pools, concurrency=concurrency,
        queue=queue, check=check, traffic=traffic, settings=settings, out=out, fresh=fresh, retry=retry,
    )  # fmt: skip
    with contextlib.closing(PrintingScreen()) as screen:
        table = prober.run(order, screen)
    _sum_up(table, out)
    console.print(f"'harness recommend {out}' says which pool to use, and what to change", soft_wrap=True)


@app.command("list")
def list_cells(name: Name = "quick", select: Select = None, model: Model = None) -> None:
    """Print the cells of an experiment, and why some cannot exist."""
    cells = _cells(_experiment(name, {}), select, model)
    display.cells(console, [(cell.id, plan.why_skipped(cell)) for cell in cells])
    console.print(f"{len(cells)} cells, controls and baselines included; experiments: {', '.join(experiment.names())}")


@app.command()
def bisect(
    cell: Annotated[str, typer.Argument(help="A cell's id, or a pattern that selects one cell.")],
    package: Annotated[str, typer.Option(help="The dependency whose releases are tried, such as celery.")],
    good: Annotated[str, typer.Option(help="A release before the change.")],
    bad: Annotated[str, typer.Option(help="A release after it; it may be the older one.")],
    name: Annotated[str, typer.Option("--experiment", help="The experiment that has the cell.")] = "quick",
    repeat: Annotated[int, typer.Option(min=1, help="Trials of each release; paces need at least 3.")] = 5,
    versions: Annotated[str, typer.Option(help="Releases to try, comma-separated, instead of asking the index.")] = "",
    out: Annotated[Path | None, typer.Option(help="Where the runs go; results/bisect-PACKAGE if not given.")] = None,
) -> None:
    """Find the release of a dependency at which a cell's outcome or pace changed, with evidence for both sides."""
    from harness.decide import bisect as bisection
    from harness.environments import releases

    spec = _experiment(name, {"repeat": repeat})
    chosen = matrix.select(spec.expand(), [cell])
    if len(chosen) != 1:
        raise BadInput(
            f"{cell!r} selects {len(chosen)} cells of {name!r}, not one", remedy=f"'harness list {name}' prints them"
        )
    python = environments.described(chosen[0].venv).python[0]
    known = releases.named(versions.split(",")) if versions else releases.releases(package, python)
    tried = releases.between(known, good, bad)
    order = bisection.BisectOrder(
        experiment=spec, cell=chosen[0], package=package, folder=out or Path("results") / f"bisect-{package}"
    )
    console.print(f"{len(tried)} releases from {tried[0]} to {tried[-1]}", soft_wrap=True)
    with contextlib.closing(PrintingScreen()) as screen:
        answer = bisection.search(tried, lambda version: bisection.measured(order, version, screen))
    also = bisection.also_changed(order, answer)
    (order.folder / "bisect.md").write_text(bisection.page(order, answer, also))
    display.bisection(console, package, answer, also)
    console.print(f"page: {order.folder}/bisect.md", soft_wrap=True)


@app.command()
def show(folder: Annotated[Path, typer.Argument(help="A run's folder.")] = Path("results/quick")) -> None:
    """Print the table of a run that was made before."""
    records = list(store.RunFolder(folder).current().values())
    if not records:
        raise BadInput(f"there are no records in {folder}", remedy="name a folder that 'harness run' has written")
    table = summary.table(records, folder)
    display.rows(console, table)
    display.doubted(console, table)
    console.print(f"\n{len(table)} cells: {display.outcomes(table)}", soft_wrap=True)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="The run to compare with: the folder of the baseline.")],
    second: Annotated[Path, typer.Argument(help="The run that may have changed.")],
    fail_on: Annotated[str, typer.Option(help="Exit 1 on these: outcome, throughput:5%, p50, p95, cpu, memory.")] = "",
    json_: Annotated[Path | None, typer.Option("--json", help="Write all of it to this file, for machines.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it to this file, for a pull request.")] = None,
) -> None:
    """Compare two runs: changed outcomes, real differences, ties, and what cannot be said."""
    from harness.decide.compare import changes, gate, pages, sides

    limits = gate.parse(fail_on)
    here, there = sides.read(first), sides.read(second)
    found = changes.compare(here, there, factors=limits.factors)
    judgement = gate.judge(limits, found)
    compared = pages.Compared(first=here, second=there, changes=found, judgement=judgement)
    for path, text in ((json_, pages.as_json), (markdown, pages.markdown)):
        if path:
            with store.writing(path):
                path.write_text(text(compared))
    display.compared(console, compared)
    if judgement.failures:
        raise typer.Exit(1)


@app.command()
def recommend(
    runs: Annotated[list[Path], typer.Argument(help="The folders of one or more runs.")],
    latency: Latency = None,
    memory: Memory = "",
    cores: Cores = None,
    min_throughput: MinThroughput = None,
    max_hang_rate: MaxHangRate = "",
    select: Select = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write all of it to this file, for machines.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it to this file, with what to paste.")] = None,
) -> None:
    """Say which configuration to use, what does as well, what must not be used, and print what to paste; exit 1 if the data
    support no advice."""
    from harness.decide.advise import candidates, constraints, pages, ranking

    bounds = constraints.parse(
        latency=latency, memory=memory, cores=cores, min_throughput=min_throughput, max_hang_rate=max_hang_rate
    )
    known = candidates.read_all(runs, bounds)
    chosen = [one for one in known if not select or any(matrix.matches(one.cell, pattern) for pattern in select)]
    if not chosen:
        raise BadInput("no configuration that was measured fits", remedy="name runs of real cells, or another --select")
    advice = ranking.advise(chosen, bounds)
    most = constraints.most_memory(bounds)
    for path, text in ((json_, pages.as_json(advice)), (markdown, pages.markdown(advice, most))):
        if path:
            with store.writing(path):
                path.write_text(text)
    _advise(advice, most)


@app.command()
def tune(
    name: Annotated[str, typer.Argument(help="An experiment whose cells are the grid, or a .toml file.")] = "grid",
    latency: Latency = None,
    memory: Memory = "",
    cores: Cores = None,
    min_throughput: MinThroughput = None,
    max_hang_rate: MaxHangRate = "",
    select: Select = None,
    budget: Annotated[str, typer.Option(help="Stop when so much time is used up, such as 10m.")] = "",
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Measure at most this share of the grid.")] = 0.15,
    replay: Annotated[Path | None, typer.Option(help="Run nothing: search a run that has the whole grid.")] = None,
    model: Model = None,
    rows: Annotated[Path | None, typer.Option("--input", help="Input rows (.npy) for --model.")] = None,
    out: Annotated[Path | None, typer.Option(help="The search's folder; results/tune-EXPERIMENT if not given.")] = None,
) -> None:
    """Search a grid of configurations for the best one that keeps what you ask for, and measure few of them."""
    from harness.decide.advise import constraints, ranking
    from harness.decide.tune import tune as tuner

    bounds = constraints.parse(
        latency=latency, memory=memory, cores=cores, min_throughput=min_throughput, max_hang_rate=max_hang_rate
    )
    if replay is not None:
        for each in tuner.replay(replay, bounds, share):
            display.replayed(console, each)
        return
    spec = _experiment(name, {})
    known = tuner.grid_of(spec, plan.why_skipped, bundles.USER_WORKLOAD if model else "")
    grid = matrix.select(known, select or [])
    if len({(cell.venv, cell.workload, cell.traffic) for cell in grid}) != 1:
        raise BadInput(
            f"{len(grid)} cells are chosen, and not of one backend, workload and traffic",
            remedy="--select 'tensorflow2-*' chooses among those of the grid",
        )
    folder = out or Path("results") / f"tune-{spec.name}"
    order = tuner.TuneOrder(
        experiment=spec, grid=grid, bounds=bounds, folder=folder, share=share, model=model, rows=rows,
        budget_s=constraints.seconds("--budget", budget) if budget else None,
    )  # fmt: skip
    with contextlib.closing(PrintingScreen()) as screen:
        answer = tuner.live(order, screen)
    display.tuned(console, answer)
    most = constraints.most_memory(bounds)
    advice = ranking.advise(tuner.advised(order, answer), bounds)
    _advise(advice, most)


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")] = Path("results/quick"),
    out: Annotated[Path | None, typer.Option(help="The page; RUN/report.html if not given. Other forms lie beside it.")] = None,
    form: Annotated[list[str] | None, typer.Option(help="html, markdown, csv, parquet, latex, svg, png; repeatable.")] = None,
) -> None:
    """Write a run as a page that needs no network, or as Markdown, CSV, Parquet, LaTeX, or its charts as SVG and PNG."""
    from harness.report import content, exports

    for name in form or []:
        if name not in exports.FORMS:
            raise BadInput(f"--form {name}: no such form", remedy=f"choose from {', '.join(exports.FORMS)}")
    path = out or run_folder / "report.html"
    found = content.read(run_folder)
    with store.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        for name in form or ["html"]:
            for written in exports.write(found, name, path):
                console.print(str(written), soft_wrap=True)


@app.command()
def bundle(
    cell: Annotated[str, typer.Argument(help="A cell's id.")],
    run_folder: Annotated[Path, typer.Option("--run", help="The run that has it.")] = Path("results/quick"),
    out: Annotated[Path | None, typer.Option(help="The archive; CELL.tar.gz in the run's folder if not given.")] = None,
) -> None:
    """Pack a cell into an archive that stands alone: a script that reproduces its outcome, and its evidence."""
    from harness.applications.reproducer import archive

    path = out or run_folder / f"{cell}.tar.gz"
    with store.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        console.print(str(archive.make(run_folder, cell, path)), soft_wrap=True)


@app.command()
def pack(folder: Annotated[Path, typer.Argument(help="A run's folder, or one that holds runs.")]) -> None:
    """Make a run's folder light, in place: records and evidence are packed, the files of requests and samples removed."""
    from harness.run import packing

    for saved in packing.pack(folder):
        console.print(str(saved), soft_wrap=True)


@app.command("open")
def open_(path: Annotated[Path, typer.Argument(help="A run's folder, or a page.")] = Path("results/quick")) -> None:
    """Open a run's page in the browser: the file itself, nothing is served."""
    page = path / "report.html" if path.is_dir() else path
    if not page.is_file():
        raise BadInput(f"there is no page {page}", remedy=f"'harness report {path}' writes it")
    typer.launch(page.resolve().as_uri())


@app.command("waterfall")
def waterfall_(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")] = Path("results/quick"),
    patterns: Annotated[list[str] | None, typer.Argument(help="Only cells whose id matches, such as 'theano-*'.")] = None,
) -> None:
    """Show where the time of a request goes, cell by cell: from publishing through broker, worker and predict to the answer."""
    records = list(store.RunFolder(folder).current().values())
    if not records:
        raise BadInput(f"there are no records in {folder}", remedy="name a folder that 'harness run' has written")
    for view in waterfall_view.views(records, folder, patterns or []):
        console.print(waterfall_view.shown(view), soft_wrap=True)


@app.command("claims")
def claims_(
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("results/claims"),
    fresh: Fresh = False,
    retry: Retry = "invalid",
    repeat: Repeat = None,
    broker: OwnBroker = "",
    from_records: FromRecords = False,
) -> None:
    """Measure the ten claims of the famous answer, and print a verdict on each; completes an earlier run."""
    dossier = _measured(claims.EXPERIMENT, out, fresh, retry, repeat, broker, from_records)
    found = claims.judge_all(dossier.cells, [record for trials in dossier.trials.values() for record in trials])
    folder = store.RunFolder(out)
    folder.replace("claims.csv", claims_page.table(found, dossier).to_csv(index=False))
    folder.replace("claims.md", claims_page.page(found, dossier))
    display.claims(console, found)
    console.print(f"page: {out}/claims.md  table: {out}/claims.csv", soft_wrap=True)


@app.command("incidents")
def incidents_(
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("results/incidents"),
    fresh: Fresh = False,
    retry: Retry = "invalid",
    repeat: Repeat = None,
    broker: OwnBroker = "",
    from_records: FromRecords = False,
) -> None:
    """Try public incidents again, and say what we saw beside what the thread reports; completes an earlier run."""
    dossier = _measured(incidents.EXPERIMENT, out, fresh, retry, repeat, broker, from_records)
    found = incidents_page.judge_all(dossier)
    folder = store.RunFolder(out)
    folder.replace("incidents.csv", incidents_page.table(found, dossier).to_csv(index=False))
    folder.replace("incidents.md", incidents_page.page(found, dossier))
    display.incidents(console, found)
    console.print(f"page: {out}/incidents.md  table: {out}/incidents.csv", soft_wrap=True)


@app.command()
def selftest(
    times: Annotated[
        int | None, typer.Option(min=1, help="Trials of each fault in each pool (20); rounds with --instrument (1).")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 4,
    pool: Annotated[list[str] | None, typer.Option(help="Only this pool; may be given again.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="Only this fault of the catalogue; may be given again.")] = None,
    environment: Annotated[str, typer.Option(help="The backend in whose environment the workers run.")] = "celery",
    out: Annotated[Path | None, typer.Option(help="The self-test's folder: results/selftest, or results/instrument.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Set an earlier self-test aside instead of completing it.")] = False,
    time_limits: Annotated[bool, typer.Option(help="Whether slow verdicts fail the self-test, too.")] = True,
    instrument: Annotated[bool, typer.Option("--instrument", help="The truth tests of the instrument instead.")] = False,
    truth: Annotated[
        list[str] | None, typer.Option(help="Only this truth test, 'a' to 'g'; or a long one: 'compare', 'recommend', 'tune'.")
    ] = None,
) -> None:
    """Inject every fault that can be injected, and compare what is judged; exit 1 if anything is misjudged.

    With --instrument: measure what is known beforehand, such as queues of textbooks; exit 1 where a figure misses its bound.
    """
    from harness.proof.selftest import judgement, report
    from harness.proof.selftest import workflow as tester

    if instrument:
        from harness.proof.instrument.truths import TRUTHS

        _tested(TRUTHS, truth, out or Path("results/instrument"), times or 1)
        return
    if truth:
        raise BadInput("--truth chooses among the truth tests", remedy="give --instrument, too")
    out = out or Path("results/selftest")
    order = tester.SelftestOrder(
        times=times or 20, jobs=jobs, environment=environment, folder=out, pools=tuple(pool or ()), faults=tuple(fault or ()),
        fresh=fresh,
    )  # fmt: skip
    with console.status("") as status:
        judged = tester.run(
            order,
            lambda text: console.print(text, soft_wrap=True, markup=False),
            lambda done, total, left_s: status.update(f"{done} of {total} trials, about {display.duration(left_s)} left"),
        )
    promises = judgement.thresholds(judged)
    display.verdicts(console, report.matrix(judged), report.misses(judged), [report.promise(one) for one in promises])
    console.print(f"matrix: {out}/matrix.md, .csv, .json  records: {out}/trials.jsonl", soft_wrap=True)
    if any(not one.kept for one in promises if time_limits or not one.of_time):
        raise typer.Exit(1)


@app.command()
def selfcost(
    only: Annotated[list[str] | None, typer.Option(help="Only this cost, such as 'sampler'; may be given again.")] = None,
    out: Annotated[Path, typer.Option(help="Where the figures are kept.")] = Path("results/selfcost"),
) -> None:
    """Measure what the instrument itself costs and how much it can do; exit 1 where a figure misses its bound."""
    from harness.proof.selfcost.costs import COSTS

    _tested(COSTS, only, out, 1)


@app.command()
def contracts(
    select: Annotated[list[str] | None, typer.Option("--select", "-s", help="Only these, such as 'revoke-*'.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Only in this backend's environment; may be repeated.")] = None,
    pool: Annotated[list[str] | None, typer.Option(help="Only of this pool; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="The survey's folder.")] = Path("results/contracts"),
    jobs: Annotated[int, typer.Option(min=1, max=8, help="Measurements at a time; they share nothing but the cores.")] = 4,
    fresh: Annotated[bool, typer.Option("--fresh", help="Set an earlier survey aside instead of completing it.")] = False,
) -> None:
    """Measure what each pool does with time limits, revokes, shutdowns, pings and killed processes while it is busy."""
    from harness.studies.contracts import survey

    order = survey.SurveyOrder(
        folder=out, backends=backend or survey.BACKENDS, pools=pool or list(POOLS), select=select or [], jobs=jobs, fresh=fresh,
    )  # fmt: skip
    known = survey.survey(order, PrintingScreen().say, lambda row: console.print(display.contract(row), soft_wrap=True))
    console.print(f"{len(known)} answers: {out}/contracts.md, {out}/contracts.csv", soft_wrap=True)


@app.command()
def doctor() -> None:
    """Show what this machine has, what is missing, and what each missing thing costs."""
    from harness.proof import doctor as examiner

    findings = examiner.examine()
    display.findings(console, findings)
    if any(finding.status == "missing" for finding in findings):
        raise typer.Exit(1)


@app.command()
def setup(names: Annotated[list[str] | None, typer.Argument(help="Backends; all if none is named.")] = None) -> None:
    """Build the backends' environments now instead of at the first run."""
    known = environments.descriptions()
    for name in names or known:
        if name not in known:
            raise BadInput(f"no environment {name!r}", remedy=f"use {', '.join(known)}")
        try:
            environments.prepare(name, lambda text: console.print(text, soft_wrap=True, markup=False))
        except HarnessError as error:
            console.print(f"warning: {name}: {error}; {error.remedy}", soft_wrap=True, markup=False)


def _experiment(name: str, overrides: dict[str, Any]) -> Experiment:
    backends = list(environments.descriptions())
    known = [*workloads.NAMES, bundles.USER_WORKLOAD]
    spec = experiment.read(name, backends=backends, workloads=known)
    chosen = {key: value for key, value in overrides.items() if value is not None}
    return spec.model_copy(update={"settings": _settings(**{**spec.settings.model_dump(), **chosen})})


def _settings(**values: Any) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        raise BadInput(f"these options do not fit: {experiment.complaints(error)}", remedy="give other values") from error


def _measured(name: str, out: Path, fresh: bool, retry: str, repeat: int | None, broker: str, from_records: bool) -> Dossier:
    """Complete the run of a shipped experiment, or take it as it is; its records."""
    spec = _experiment(name, {"repeat": repeat})
    cells = _cells(spec, None, None)
    if from_records and not store.RunFolder(out).records():
        raise BadInput(f"there are no records in {out}", remedy=f"'harness {name}' makes them")
    if not from_records:
        order = experiment_source.RunOrder(
            experiment=spec, cells=cells, folder=out, broker_url=broker, fresh=fresh, retry=plan.retry_outcomes(retry)
        )
        with contextlib.closing(PrintingScreen()) as screen:
            workflow.run(order, screen)
    return Dossier.of(out, cells)


def _sum_up(table: pd.DataFrame, folder: Path) -> None:
    """The last lines of a run: what to doubt, how cells ended, where everything is."""
    display.hang_rates(console, table)
    display.doubted(console, table)
    console.print(f"\n{len(table)} cells: {display.outcomes(table)}", soft_wrap=True)
    console.print(f"records: {folder}/trials.jsonl  table: {folder}/cells.csv  evidence: {folder}/evidence", soft_wrap=True)


def _advise(advice: Sequence[Advice], most_memory: float | None) -> None:
    """Print it; exit 1 where the data support none."""
    display.advice(console, advice, most_memory)
    if not all(one.best for one in advice):
        raise typer.Exit(1)


def _cells(spec: Experiment, select: list[str] | None, model: Path | None) -> list[Cell]:
    if model is not None and not model.is_file():
        raise BadInput(f"no model file {model}", remedy="name a .keras or .h5 file")
    return plan.chosen_cells(spec, select or [], workload=bundles.USER_WORKLOAD if model else "")


def _tested(tests: Sequence[InstrumentCheck], names: list[str] | None, out: Path, times: int) -> None:
    """Run tests of the instrument and print each finding; exit 1 if any did not pass."""
    from harness.proof.instrument import suite

    found = list[Found]()
    with console.status("measuring; nothing else should run meanwhile"):
        for one in suite.run(suite.chosen(tests, names or []), out, times, PrintingScreen().say):
            display.tested(console, one)
            found.append(one)
    failed = sum(not one.finding.passed for one in found)
    console.print(f"{len(found) - failed} of {len(found)} figures keep their bounds: {out}/findings.md, .csv", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; errors become one line, the remedy below it, and an exit code."""
    try:
        left_with = app(standalone_mode=False)  # what typer.Exit said, or what a verb returned
    except HarnessError as error:
        complaints.print(f"error: {error}", soft_wrap=True, markup=False)
        if error.remedy:
            complaints.print(f"  {error.remedy}", soft_wrap=True, markup=False)
        if error.evidence:
            complaints.print(f"  evidence: {error.evidence}", soft_wrap=True, markup=False)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        complaints.print("stopped; what was measured is kept")
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's own usage errors
            complaints.print(f"error: {error.format_message()}", soft_wrap=True, markup=False)
            complaints.print("  'harness --help' prints the commands, 'harness COMMAND --help' their options")
            sys.exit(error.exit_code)
        raise
    if isinstance(left_with, int):
        sys.exit(left_with)


@app.callback(invoke_without_command=True)
def version(show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Which Celery pool and which Keras backend to serve a model with, from measurements."""
    if show_version:
        console.print(__version__)
        raise typer.Exit()


if __name__ == "__main__":
    main()
