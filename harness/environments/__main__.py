"""`python -m harness.environments`: list, prepare or lock environments by hand. `harness` itself calls `prepare`."""

from __future__ import annotations

import argparse
import sys

from harness.environments import described, descriptions, find, prepare
from harness.environments.description import Description
from harness.environments.locks import compile_lock
from harness.errors import HarnessError


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.environments", description=__doc__)
    parser.add_argument("verb", choices=["list", "prepare", "lock"])
    parser.add_argument("name", nargs="*", help="environments; all of them if none is named")
    parser.add_argument("--upgrade", action="store_true", help="lock: take the newest versions that fit")
    return parser.parse_args()


def line(description: Description) -> str:
    found = find(description.name)
    where = f"built, {found.directory}" if found else "not built"
    return f"{description.name:16} {description.summary} ({where})"


def main() -> None:
    options = arguments()
    for name in options.name or descriptions():
        if options.verb == "list":
            print(line(described(name)))
        elif options.verb == "prepare":
            prepare(name, print)
        else:
            compile_lock(described(name), upgrade=options.upgrade)
            print(f"{name}: locked")


if __name__ == "__main__":
    try:
        main()
    except HarnessError as error:
        print(f"error: {error.message}", error.remedy, error.evidence, sep="\n  ", file=sys.stderr)
        sys.exit(error.exit_code)
