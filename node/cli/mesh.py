"""`electrons mesh create` and `electrons mesh grant`."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any

from mesh.capability import Role
from mesh.errors import ConfigError, StorageError
from mesh.identity.charter import claim_founding, encode_charter, write_charter
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.mesh import ROOT_KEY_FILE, create_mesh, root_of
from mesh.ids import NodeId
from node.cli.exit_code import ExitCode
from node.cli.terminal import say, say_json
from node.standing import keep_charter

EXAMPLES = """\
examples:
  electrons mesh create ~/my-mesh
  electrons mesh grant ~/my-mesh 4f0c...e1           a line to paste into --grant
  electrons mesh grant ~/my-mesh --data-dir DIR      for a node of this machine, kept there
  electrons mesh grant ~/my-mesh 4f0c...e1 --role worker
  electrons mesh grant ~/my-mesh 4f0c...e1 --role coordinator --role admin

Whoever holds the root key decides who may take part in the mesh, and in which role: keep the
folder private and keep a copy somewhere safe. Nobody can make the key again. The first node that
is granted the coordinator's role founds the mesh's group of coordinators and is an admin as well;
later ones join it.
A coordinator lets in workers, gateways, storage and relays by ticket ('electrons invite'); one that
is granted admin as well also lets in coordinators. Only the root key makes an admin."""

NEXT = """\
what next:
  electrons mesh grant {folder} --data-dir DIR   make the node in DIR the first coordinator
  electrons up --network {mesh} --data-dir DIR
  electrons invite --role worker   on that node: prints a ticket for everybody else
The mesh takes members only. A node started with {mesh}+open as its
network takes strangers as well, and trusts them with nothing."""

GRANTABLE = ("coordinator", "admin", "relay", "worker", "gateway", "storage")
DAY = 86_400.0
MAX_DAYS = 3650
KEY_FILE = "node.key"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    parser.epilog = EXAMPLES
    commands = parser.add_subparsers(dest="action", required=True, metavar="create|grant")
    create = commands.add_parser(
        "create", description="Create a mesh: make its root key in a folder.", allow_abbrev=False
    )
    create.add_argument("folder", metavar="DIR", help="a folder for the root key; made if missing")
    grant = commands.add_parser(
        "grant", description="Give a node of the mesh a role of trust.", allow_abbrev=False
    )
    grant.add_argument("folder", metavar="DIR", help="the folder with the mesh's root key")
    grant.add_argument("node", metavar="NODE", nargs="?", help="the node's id, 40 hex digits")
    grant.add_argument(
        "--data-dir", metavar="DIR", help="instead: the data folder of a node on this machine"
    )
    grant.add_argument(
        "--role",
        choices=GRANTABLE,
        action="append",
        help="may be given several times; default: coordinator",
    )
    grant.add_argument(
        "--days", type=int, default=365, help="how long it is good, 1 to 3650; default: %(default)s"
    )
    for command in (create, grant):
        command.epilog = EXAMPLES
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        command.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do the sub-command."""
    folder = Path(args.folder).expanduser().absolute()
    if args.action == "create":
        _create(folder, args)
    else:
        _grant(folder, args)
    return ExitCode.OK


def _create(folder: Path, args: argparse.Namespace) -> None:
    mesh_id = create_mesh(folder).mesh_id
    if args.json:
        say_json({"mesh_id": mesh_id, "root_key": str(folder / ROOT_KEY_FILE)})
    else:
        say(f"mesh {mesh_id}\nroot key in {folder / ROOT_KEY_FILE}: keep it private, keep a copy")
        say(NEXT.format(folder=folder, mesh=mesh_id))


def _grant(folder: Path, args: argparse.Namespace) -> None:
    root = root_of(folder)
    if root is None:
        raise StorageError(f"{folder} holds no root key: make a mesh with 'electrons mesh create'")
    if not 1 <= args.days <= MAX_DAYS:
        raise ConfigError("--days", args.days, f"give 1 to {MAX_DAYS}")
    data_dir = None if args.data_dir is None else Path(args.data_dir).expanduser().absolute()
    node_id = _named_node(args.node, data_dir)
    roles: list[Role] = list(dict.fromkeys(args.role or ["coordinator"]))
    founder = "coordinator" in roles and claim_founding(folder, node_id) == node_id
    if founder and "admin" not in roles:
        roles.append("admin")  # or nobody could let in a second coordinator without the root key
    until = time.time() + args.days * DAY
    text = encode_charter(write_charter(root, node_id, roles, until, founder=founder))
    if data_dir is not None:
        keep_charter(data_dir, text)
    facts: dict[str, Any] = {
        "node_id": node_id,
        "role": roles[0],
        "roles": roles,
        "founder": founder,
    }
    facts["grant"] = text
    if args.json:
        say_json(facts)
    else:
        _say_grant(root, facts, data_dir)


def _named_node(given: str | None, data_dir: Path | None) -> NodeId:
    if (given is None) == (data_dir is None):
        raise ConfigError("NODE", given, "give either a node's id or --data-dir")
    if data_dir is not None:
        return NodeKey.load_or_create(data_dir / KEY_FILE).node_id
    if given is None or not re.fullmatch("[0-9a-f]{40}", given):
        raise ConfigError("NODE", given, "a node's id is 40 hex digits; its banner shows it")
    return NodeId(given)


def _say_grant(root: RootKey, facts: dict[str, Any], data_dir: Path | None) -> None:
    start = f"electrons up --network {root.mesh_id}"
    first = " and founds the group of coordinators" if facts["founder"] else ""
    say(f"node {facts['node_id']} becomes {', '.join(facts['roles'])}{first}")
    if data_dir is None:
        say(f"on that node:\n{start} --grant {facts['grant']}")
    else:
        say(f"kept in {data_dir}; it counts from the next start:\n{start} --data-dir {data_dir}")
