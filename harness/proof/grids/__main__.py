"""`python -m harness.proof.grids [--record NAME] [--again NAME] [--live NAME]`: searches over recorded grids.

--record measures a whole grid; --again, what the searches over it found, and its best, with fresh trials; --live searches it
with real workers. Grids: `OUT/NAME.csv.xz`, `NAME-again.csv`; live searches: `live.csv`; the table: `grids.md` and `grids.csv`.
Recording takes half an hour per application, a live search five minutes; the machine should do nothing else.
Exit codes are those of the command line: 1 if a bound is not kept.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from harness.decide.tune import replay
from harness.errors import BadInput, Exit, HarnessError
from harness.proof.grids import page, record
from harness.proof.grids.projects import PROJECTS
from harness.proof.grids.record import Live
from harness.records import store
from harness.run.screen import PrintingScreen
from harness.terminal import complaints, console

SIX_DIGITS: dict[str, Any] = {"index": False, "float_format": "%.6g"}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    asked = argparse.ArgumentParser(prog="python -m harness.proof.grids", description=str(__doc__).partition("\n")[0])
    asked.add_argument("--record", choices=PROJECTS, metavar="NAME", nargs="+", default=[], help="measure these whole grids")
    asked.add_argument("--again", choices=PROJECTS, metavar="NAME", nargs="+", default=[], help="measure what was found again")
    asked.add_argument("--live", choices=PROJECTS, metavar="NAME", nargs="+", default=[], help="search these with real workers")
    asked.add_argument("--out", type=Path, default=Path("results/grids"), help="folder of the tables (results/grids)")
    return asked.parse_args()


def main() -> int:
    """Run the study; the exit code."""
    asked = arguments()
    try:
        with store.writing(asked.out):
            asked.out.mkdir(parents=True, exist_ok=True)
        runs = asked.out / f"runs-{store.now()}"
        with contextlib.closing(PrintingScreen()) as screen:
            for name in asked.record:
                record.whole(PROJECTS[name], runs / name, screen).to_csv(_whole(asked.out, name), **SIX_DIGITS)
            for name in asked.again:
                one = searched(asked.out, name)
                cells = list(dict.fromkeys([one.exhaustive, *one.found]))
                lines = record.again(PROJECTS[name], cells, runs / f"again-{name}", screen)
                lines.to_csv(_again(asked.out, name), **SIX_DIGITS)
            for name in asked.live:
                best = searched(asked.out, name).exhaustive
                found = record.live(PROJECTS[name], best, runs / f"live-{name}", screen)
                keep(asked.out, {**lives(asked.out), name: found})
        return told(asked.out)
    except HarnessError as error:
        complaints.print(f"error: {error}", soft_wrap=True, markup=False)
        return int(getattr(error, "exit_code", Exit.BAD_INPUT))


def told(folder: Path) -> int:
    """Write the table of all that is on record; the exit code. Raises BadInput if nothing is."""
    tables = {name: pd.read_csv(path) for name in PROJECTS if (path := _whole(folder, name)).exists()}
    if not tables:
        raise BadInput(f"{folder} holds no recorded grid", remedy="--record forest boosted waits: half an hour each")
    replays, found = {name: searched(folder, name) for name in tables}, lives(folder)
    paces = {name: record.scored(table, record.cells(PROJECTS[name]))[1] for name, table in tables.items()}
    fresh = {
        name: record.scored(pd.read_csv(path), record.cells(PROJECTS[name]))[0]
        for name in tables
        if (path := _again(folder, name)).exists()
    }
    with store.writing(folder):
        page.write(folder, tables, paces, replays, fresh, found)
    kept = [*(page.kept(one, fresh.get(name, {})) for name, one in replays.items()), *map(page.kept_live, found.values())]
    console.print(f"{kept.count(True)} of {len(kept)} searches keep their bounds: {folder}/grids.md", soft_wrap=True)
    return Exit.DONE if all(kept) else Exit.CHECK_FAILED


def searched(folder: Path, name: str) -> replay.Replay:
    """Searches over a recorded grid."""
    return replay.of_paces(*record.scored(pd.read_csv(_whole(folder, name)), record.cells(PROJECTS[name])))


def _whole(folder: Path, name: str) -> Path:
    return folder / f"{name}.csv.xz"  # which pandas packs and reads


def _again(folder: Path, name: str) -> Path:
    return folder / f"{name}-again.csv"


def lives(folder: Path) -> dict[str, Live]:
    """What live searches reached, by project."""
    path = folder / "live.csv"
    lines = pd.read_csv(path).to_dict("records") if path.exists() and path.stat().st_size > 1 else []
    return {str(one.pop("application")): Live(**{str(name): value for name, value in one.items()}) for one in lines}


def keep(folder: Path, found: dict[str, Live]) -> None:
    """Write them down, before anything else can go wrong."""
    page.lives(found).to_csv(folder / "live.csv", index=False)


if __name__ == "__main__":
    sys.exit(main())
