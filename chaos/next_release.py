"""A release that differs from this one by its version, and by a fault if one is wanted."""

from __future__ import annotations

import re
import shutil
import stat
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mesh", "dht", "coordinator", "services", "node", "edge_router")
VERSION = "99.1.0"


def make_release(folder: Path, *, broken: str = "") -> Path:
    """Copy the source tree and change it; the path of its program.

    `broken` is a statement that runs in place of building a node.
    """
    for package in PACKAGES:
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=left_out)
    version = folder / "mesh" / "version.py"
    version.write_text(re.sub(r'VERSION = ".*"', f'VERSION = "{VERSION}"', version.read_text()))
    if broken:
        wiring = folder / "node" / "wiring.py"
        wiring.write_text(f"{wiring.read_text()}\n\ndef build(config):\n    {broken}\n")
    program = folder / "electrons"
    lines = (f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(folder)!r})")
    end = ("from node.cli.main import main", "sys.exit(main())")
    program.write_text("\n".join((*lines, *end)) + "\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
