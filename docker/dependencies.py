"""Prints what a pyproject.toml depends on, one requirement a line, for `pip install -r`."""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME")
    args = parser.parse_args()
    project = tomllib.loads(args.pyproject.read_text("utf-8"))["project"]
    for requirement in wanted(project["dependencies"], args.without):
        sys.stdout.write(f"{requirement}\n")


def wanted(requirements: Collection[str], without: Collection[str]) -> Iterator[str]:
    """Those whose names are not in `without`. Exits when one of `without` is no dependency."""
    unknown = set(without) - {name_of(requirement) for requirement in requirements}
    if unknown:
        sys.exit(f"no such dependency: {', '.join(sorted(unknown))}")
    return (each for each in requirements if name_of(each) not in without)


def name_of(requirement: str) -> str:
    """The distribution's name in a requirement such as "kademlia>=2.2.3,<3"."""
    found = _NAME.match(requirement)
    return found.group().lower() if found else ""


if __name__ == "__main__":
    main()
