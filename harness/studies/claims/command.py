"""The verbs `harness claims` and `harness incidents`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from harness.records import store
from harness.run import experiment_source, options, plan, workflow
from harness.run.options import Fresh, OwnBroker, Repeat, Retry, Select
from harness.run.screen import PrintingScreen
from harness.studies.claims import claims, claims_page, incidents, incidents_page, screen, threads, threads_page
from harness.studies.claims.dossier import Dossier
from harness.terminal import console

FromRecords = Annotated[bool, typer.Option("--from-records", help="Run nothing: judge the records there are.")]


def claims_(
    name: Annotated[
        str,
        typer.Argument(help="The famous answer's (claims), those of other engines' threads (claims-engines), or a .toml file."),
    ] = claims.EXPERIMENT,
    out: Annotated[Path | None, typer.Option(help="The run's folder. Default: results/, and the experiment's name.")] = None,
    select: Select = None,
    fresh: Fresh = False,
    retry: Retry = "invalid",
    repeat: Repeat = None,
    broker: OwnBroker = "",
    from_records: FromRecords = False,
) -> None:
    """Measure the ten claims of the famous answer, or those of a file, and print a verdict on each; run again, it goes on."""
    famous, spec = name == claims.EXPERIMENT, options.experiment(name, {"repeat": repeat})
    if not famous:
        threads.of(spec)  # complains before anything is measured
    folder = out or Path("results") / spec.name
    dossier = measured(name, folder, fresh, retry, repeat, broker, from_records, select)
    if famous:
        found = claims.judge_all(dossier.cells, [record for trials in dossier.trials.values() for record in trials])
    else:
        found = threads.judge_all(spec, dossier.cells, dossier.trials)
    run = store.RunFolder(folder)
    run.replace("claims.csv", claims_page.table(found, dossier).to_csv(index=False))
    run.replace("claims.md", claims_page.page(found, dossier) if famous else threads_page.page(spec, found, dossier))
    screen.claims(console, found)
    console.print(f"page: {folder}/claims.md  table: {folder}/claims.csv", soft_wrap=True)


def incidents_(
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("results/incidents"),
    fresh: Fresh = False,
    retry: Retry = "invalid",
    repeat: Repeat = None,
    broker: OwnBroker = "",
    from_records: FromRecords = False,
) -> None:
    """Repeat public incidents, and compare what happens with what was reported. The same command completes an earlier run."""
    dossier = measured(incidents.EXPERIMENT, out, fresh, retry, repeat, broker, from_records)
    found = incidents_page.judge_all(dossier)
    folder = store.RunFolder(out)
    folder.replace("incidents.csv", incidents_page.table(found, dossier).to_csv(index=False))
    folder.replace("incidents.md", incidents_page.page(found, dossier))
    screen.incidents(console, found)
    console.print(f"page: {out}/incidents.md  table: {out}/incidents.csv", soft_wrap=True)


def measured(
    name: str,
    out: Path,
    fresh: bool,
    retry: str,
    repeat: int | None,
    broker: str,
    from_records: bool,
    select: list[str] | None = None,
) -> Dossier:
    """Complete the run of an experiment, or take it as it is; its records. `select`: only these cells are run."""
    spec = options.experiment(name, {"repeat": repeat})
    cells = options.cells(spec, select, None)
    if from_records:
        store.RunFolder(out).trials()
    else:
        order = experiment_source.RunOrder(
            experiment=spec, cells=cells, folder=out, broker_url=broker, fresh=fresh, retry=plan.retry_outcomes(retry)
        )
        with contextlib.closing(PrintingScreen()) as printing:
            workflow.run(order, printing)
    return Dossier.of(out, options.cells(spec, None, None) if select else cells)
