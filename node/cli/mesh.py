"""`electrons mesh create`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mesh.identity.mesh import ROOT_KEY_FILE, create_mesh
from node.cli.exit_code import ExitCode
from node.cli.terminal import say, say_json

EXAMPLES = """\
examples:
  electrons mesh create ~/my-mesh

Whoever holds the root key decides who may take part in the mesh, and in which role: keep the
folder private and keep a copy somewhere safe. Nobody can make the key again."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="create")
    create = commands.add_parser(
        "create",
        help="make a root key",
        description="Create a mesh: make its root key in a folder.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    create.add_argument("folder", metavar="DIR", help="a folder for the root key; made if missing")
    create.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Create the mesh and say its id."""
    folder = Path(args.folder).expanduser().absolute()
    mesh_id = create_mesh(folder).mesh_id
    if args.json:
        say_json({"mesh_id": mesh_id, "root_key": str(folder / ROOT_KEY_FILE)})
    else:
        say(f"mesh {mesh_id}\nroot key in {folder / ROOT_KEY_FILE}: keep it private, keep a copy")
    return ExitCode.OK
