"""`electrons up`."""

from __future__ import annotations

import argparse

from node.cli.join import join_by
from node.cli.setting_flags import add_setting_flags, raw_settings
from node.config import load_config
from node.daemon import run_daemon
from node.environment import take_variable
from node.wiring import build

EXAMPLES = """\
examples:
  electrons up
  electrons up --join 192.168.1.20:7718
  electrons up --engine http://127.0.0.1:8000 --alias gpt-4o-mini=qwen3-8b
  electrons up --http 0.0.0.0:7717 --access keys

Every flag is also a setting in a file and in the environment; see docs/configuration.md.
Ctrl-C finishes what runs, for 5 s at most, and stops; a second Ctrl-C stops at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare one flag for every setting that has one."""
    parser.epilog = EXAMPLES
    parser.add_argument("--config", metavar="FILE", help="settings in TOML")
    parser.add_argument(
        "--ticket",
        metavar="TICKET",
        help="join by this ticket first, as 'electrons join' does; better in ELECTRONS_TICKET. "
        "A node that is a member already does not use it.",
    )
    add_setting_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Run a node until Ctrl-C, SIGTERM or `electrons stop`."""
    settings, ticket = raw_settings(args), take_variable("TICKET")
    if args.ticket or ticket:
        config = join_by(args.ticket or ticket, settings, args.config)
    else:
        config = load_config(settings, file=args.config)
    return run_daemon(config, build)
