"""A release that differs from this one by its version, by a fault if one is wanted, and by what a
newer one may do on the wire: append items to every message, and keys to every map.
"""

from __future__ import annotations

import re
import shutil
import stat
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mesh", "dht", "coordinator", "services", "node", "edge_router")
VERSION = "99.1.0"
NEWS = "of a newer release"
WIRE = {
    "mesh/wire/fields.py": f"""
_pack_known = pack


def pack(fields):
    return _pack_known([*fields, {NEWS!r}])
""",
    "mesh/wire/records.py": f"""
_pack_known_model = pack_model
_pack_known_resources = _pack_resources


def pack_model(served):
    return [*_pack_known_model(served), {NEWS!r}]


def _pack_resources(resources):
    return [*_pack_known_resources(resources), {NEWS!r}]
""",
    "mesh/wire/hello.py": f"""
_known_fields = hello_fields


def hello_fields(hello):
    return {{**_known_fields(hello), "news": {NEWS!r}}}
""",
    "mesh/wire/jobs.py": f"""
_pack_known = _pack


def _pack(value):
    if value[0] == CHUNK:
        value = [*value, *[""] * (7 - len(value))]
    return _pack_known([*value, {NEWS!r}])


_encode_known = encode_offer


def encode_offer(offer):
    data, body = _encode_known(offer)
    number, told = msgpack.unpackb(data)
    told["job"]["news"] = told["news"] = [{NEWS!r}]
    if body:
        body = orjson.dumps({{**orjson.loads(body), "news": {NEWS!r}}})
        told["body_size"] = len(body)
    return msgpack.packb([number, told, {NEWS!r}]), body
""",
}
"""What is appended to modules of the copy."""


def make_release(folder: Path, *, broken: str = "") -> Path:
    """Copy the source tree and change it; the path of its program.

    `broken` is a statement that runs in place of building a node.
    """
    for package in PACKAGES:
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=left_out)
    version = folder / "mesh" / "version.py"
    version.write_text(re.sub(r'VERSION = ".*"', f'VERSION = "{VERSION}"', version.read_text()))
    for module, more in WIRE.items():
        changed = folder / module
        changed.write_text(f"{changed.read_text()}\n{more}")
    if broken:
        wiring = folder / "node" / "wiring.py"
        wiring.write_text(f"{wiring.read_text()}\n\ndef build(config):\n    {broken}\n")
    program = folder / "electrons"
    lines = (f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(folder)!r})")
    end = ("from node.cli.main import main", "sys.exit(main())")
    program.write_text("\n".join((*lines, *end)) + "\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
