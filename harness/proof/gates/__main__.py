"""`python -m harness.proof.gates [--record SECONDS] [--live MANY]`: record pairs of like commits; then gates of all on record.

Pairs go to `OUT/pairs.csv`, one line each, live gates to `OUT/live.csv`, and are added to those that are there; the table goes
to `OUT/gates.csv` and `gates.md`. Exit codes are those of the command line: 1 if a bound is not kept.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from harness.applications.gate.screen import GateScreen
from harness.errors import Exit, HarnessError
from harness.proof.gates import live, page, record, resample
from harness.records import store
from harness.terminal import complaints, console

PAIRS, LIVE = "pairs.csv", "live.csv"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    asked = argparse.ArgumentParser(prog="python -m harness.proof.gates", description=str(__doc__).partition("\n")[0])
    asked.add_argument("--record", type=float, default=0.0, metavar="SECONDS", help="record pairs for so long beside each load")
    asked.add_argument(
        "--loads", type=float, nargs="+", default=record.LOADS, help="shares of the cores that are kept busy beside"
    )
    asked.add_argument("--at-once", action="store_true", help="record pairs whose trials run at the same time")
    asked.add_argument(
        "--live", type=int, default=0, metavar="MANY", help="run so many gates of each kind, by turns of the loads"
    )
    asked.add_argument(
        "--planted", nargs="+", choices=list(live.PLANTED), default=list(live.PLANTED), help="what is planted in live gates"
    )
    asked.add_argument("--gates", type=int, default=resample.GATES, help=f"gates per row of the table ({resample.GATES})")
    asked.add_argument("--out", type=Path, default=Path("results/gate"), help="folder for pairs and table (results/gate)")
    return asked.parse_args()


def main() -> int:
    """Run the study; the exit code."""
    asked = arguments()
    path = asked.out / PAIRS
    try:
        with store.writing(asked.out):
            asked.out.mkdir(parents=True, exist_ok=True)
        runs, screen = asked.out / f"runs-{store.now()}", GateScreen()
        if asked.record:
            _add(record.recorded(runs / "pairs", asked.record, screen, asked.loads, at_once=asked.at_once), path)
        for line in live.gates(runs / "live", asked.live, screen, asked.loads, asked.planted, at_once=asked.at_once):
            _add(pd.DataFrame([line]), asked.out / LIVE)
        kinds = resample.kinds(pd.read_csv(path)) | resample.modelled()
        rows = [*resample.rows(kinds, asked.gates), *_lived(asked.out / LIVE)]
        with store.writing(asked.out):
            page.write(asked.out, rows, kinds)
    except (HarnessError, FileNotFoundError) as error:
        complaints.print(f"error: {error}", soft_wrap=True, markup=False)
        return int(getattr(error, "exit_code", Exit.BAD_INPUT))
    kept = [page.kept(row) for row in rows]
    console.print(f"{kept.count(True)} of {len(kept)} rows keep their bounds: {asked.out}/gates.md, gates.csv", soft_wrap=True)
    return Exit.DONE if all(kept) else Exit.CHECK_FAILED


def _add(lines: pd.DataFrame, path: Path) -> None:
    known = [pd.read_csv(path)] if path.exists() else []
    with store.writing(path):
        pd.concat([*known, lines]).to_csv(path, index=False, float_format="%.6g")


def _lived(path: Path) -> list[resample.Row]:
    return live.counted(pd.read_csv(path)) if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
