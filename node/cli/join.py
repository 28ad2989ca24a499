"""`electrons join`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from mesh.errors import ConfigError
from node.cli.setting_flags import add_setting_flags, raw_settings
from node.cli.terminal import remark
from node.config import Config, load_config
from node.daemon import run_daemon
from node.environment import environment
from node.joining import join_mesh, read_ticket
from node.network import resolve_network
from node.proxies import choose_proxies
from node.wiring import build

STDIN = "-"
EXAMPLES = """\
examples:
  electrons join electrons-ticket-...
  electrons join electrons-ticket-... --data-dir ~/second-node --engine demo

The ticket is used once; from then on a plain 'electrons up' goes back to the same mesh. Every flag
of 'electrons up' may be given. Ctrl-C finishes what runs, for 5 s at most, and stops."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the ticket, and one flag for every setting that has one."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "ticket",
        metavar="TICKET",
        help="the line that 'electrons invite' printed; - reads it from standard input, so that "
        "other users of this machine do not see it",
    )
    parser.add_argument("--config", metavar="FILE", help="settings in TOML")
    add_setting_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Redeem the ticket, then run a node until it is stopped."""
    ticket = sys.stdin.readline() if args.ticket == STDIN else args.ticket
    return run_daemon(join_by(ticket, raw_settings(args), args.config), build)


def join_by(text: str, settings: dict[str, Any], file: str | None) -> Config:
    """The settings of a node that is a member by now. Raises ConfigError or NotAdmitted."""
    ticket = read_ticket(text)
    config = load_config(settings, file=file)
    proxies = choose_proxies(config.proxy, environment())
    joined = join_mesh(ticket, config.data_dir, proxies=proxies, say=remark)
    config = load_config(settings, file=file)
    if resolve_network(config.network) != ticket.mesh_id:
        allowed = f"the ticket is for mesh {ticket.mesh_id}: leave the network out"
        raise ConfigError("network", config.network, allowed)
    remark(_words(joined.fresh, joined.roles, ticket.mesh_id))
    return config


def _words(fresh: bool, roles: tuple[str, ...], mesh_id: str) -> str:
    given = ", ".join(roles)
    if fresh:
        return f"admitted to mesh {mesh_id} as {given}"
    return f"already a member of mesh {mesh_id} as {given}; the ticket was not used"
