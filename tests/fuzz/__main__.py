"""`python -m tests.fuzz --seconds 60`: fuzz every target in turn; exit 1 at the first finding."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import tracemalloc
from random import Random

from tests.fuzz.fuzzer import BATCH, Finding, Fuzzer, save_input, saved_inputs
from tests.fuzz.targets import TARGETS

MAX_SAVED = 2000
"""Bytes of an input that --keep writes to the corpus; larger ones make the repository heavy."""
MAX_FILES = 30
"""Inputs that --keep saves for a target."""


def fuzz(names: list[str], *, seconds: float, seed: int, keep: bool) -> None:
    """Give every target the same share of the time. Raises Finding."""
    fuzzers = [Fuzzer(name, TARGETS[name], Random(f"{seed}/{name}")) for name in names]
    deadline = time.monotonic() + seconds
    spent = dict.fromkeys(names, 0.0)
    while time.monotonic() < deadline:
        fuzzer = min(fuzzers, key=lambda fuzzer: spent[fuzzer.name])
        began = time.monotonic()
        for data in fuzzer.batch(BATCH):
            if keep and len(data) <= MAX_SAVED and len(saved_inputs(fuzzer.name)) < MAX_FILES:
                save_input(fuzzer.name, data)
        spent[fuzzer.name] += (time.monotonic() - began) / fuzzer.target.share
    for fuzzer in fuzzers:
        print(f"{fuzzer.name:15} {fuzzer.runs:8} inputs, {len(fuzzer.seen):4} outcomes")


def main() -> int:
    """Parse the command line and fuzz."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    parser.add_argument("--keep", action="store_true", help="save interesting inputs")
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}")
    tracemalloc.start()
    try:
        fuzz(
            options.targets or list(TARGETS), seconds=options.seconds, seed=seed, keep=options.keep
        )
    except Finding as finding:
        path = save_input(str(finding).split(":")[0], finding.data, finding=True)
        print(f"{finding}\nkept as {path}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
