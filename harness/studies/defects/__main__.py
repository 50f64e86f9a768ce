"""`python -m harness.studies.defects [NAME…]`: make real defects happen, ask `harness why`, keep what came of it.

Names are folders beside this file; all of them if none is given. Exit codes are those of the command line: 0 if each was tried.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.errors import BadInput, Exit, HarnessError
from harness.machine.system import linux
from harness.places import home
from harness.studies.defects import page, study
from harness.terminal import complaints, console


def arguments() -> argparse.Namespace:
    """What was asked for."""
    asked = argparse.ArgumentParser(prog="python -m harness.studies.defects", description=str(__doc__).partition("\n")[0])
    asked.add_argument(
        "names", nargs="*", metavar="NAME", help=f"defects to try: {', '.join(study.NAMES)}; all if none is named"
    )
    asked.add_argument("--out", type=Path, default=Path("results/defects"), help="folder for the records (results/defects)")
    asked.add_argument("--tries", type=int, default=study.TRIES, help=f"try each at most so many times ({study.TRIES})")
    asked.add_argument("--environments", type=Path, default=home(), help="folder for the environments, which uv makes")
    asked.add_argument("--from-records", action="store_true", help="run nothing: write the table anew")
    return asked.parse_args()


def main() -> int:
    """Run the study; the exit code."""
    asked = arguments()
    try:
        linux()
        if unknown := [name for name in asked.names if name not in study.NAMES]:
            raise BadInput(f"no defect is called {unknown[0]!r}", remedy=f"there are {', '.join(study.NAMES)}")
        asked.out.mkdir(parents=True, exist_ok=True)
        for name in () if asked.from_records else asked.names or study.NAMES:
            found = study.study(name, home=asked.environments, tries=asked.tries, say=console.print)
            page.keep(asked.out, name, found)
            console.print(page.line(found), soft_wrap=True, markup=False)
        (asked.out / "defects.md").write_text(page.table(page.kept(asked.out)))
        console.print(f"table: {asked.out}/defects.md", soft_wrap=True)
    except HarnessError as error:
        complaints.print(f"error: {error}", soft_wrap=True, markup=False)
        if error.remedy:
            complaints.print(f"  {error.remedy}", soft_wrap=True, markup=False)
        return int(error.exit_code)
    except KeyboardInterrupt:
        complaints.print("stopped; the records that were written are kept")
        return Exit.INTERRUPTED
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
