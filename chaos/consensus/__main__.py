"""Run many episodes: `python -m chaos.consensus --seeds 10000 [--first 0] [--fault NAME]`."""

from __future__ import annotations

import argparse
import sys
import time

from chaos.consensus.episode import run_episode
from chaos.consensus.faults import FAULTS, NO_FAULT

PROGRESS = 200
"""Episodes between two lines of progress."""


def main() -> int:
    """1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m chaos.consensus", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many episodes")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    names = {fault.name: fault for fault in FAULTS}
    parser.add_argument("--fault", choices=sorted(names), help="a mistake to put in on purpose")
    options = parser.parse_args()
    fault = names[options.fault] if options.fault else NO_FAULT
    failed, began = 0, time.process_time()
    calls = done = committed = 0
    for count, seed in enumerate(range(options.first, options.first + options.seeds), start=1):
        outcome = run_episode(seed, fault)
        calls, done = calls + outcome.calls, done + outcome.done
        committed += outcome.committed
        if outcome.broken is not None:
            failed += 1
            _say(f"seed {seed} FAILED: {outcome.broken}")
        if count % PROGRESS == 0 or count == options.seeds:
            spent = time.process_time() - began
            _say(
                f"{count} of {options.seeds} seeds, {failed} failed; {calls} calls, {done} done, "
                f"{committed} entries committed; {spent:.0f} s of CPU"
            )
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
