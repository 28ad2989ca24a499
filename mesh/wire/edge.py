"""What nodes and edge routers say to each other over HTTP.

`POST /announce?mesh=ID` carries a signed NodeRecord's envelope (mesh.wire.records) as its body.
`GET /seeds?mesh=ID[&node=ID]` is answered by JSON: {"seeds": [{"node_id", "addresses"}]}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from mesh.errors import WireError
from mesh.ids import NodeId, parse_node_id
from mesh.wire import fields

MAX_SEEDS = 16
"""Seeds in one answer."""
MAX_SEEDS_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Seed:
    """A node to dial for joining. Unsigned: the link's handshake proves who answers."""

    node: NodeId
    addresses: tuple[str, ...]


def encode_seeds(seeds: Iterable[Seed]) -> bytes:
    """The body of an answer to GET /seeds."""
    rows = [{"node_id": seed.node, "addresses": list(seed.addresses)} for seed in seeds]
    return json.dumps({"seeds": rows}).encode()


def decode_seeds(data: bytes) -> tuple[Seed, ...]:
    """Raises WireError on anything that is not a well-formed answer to GET /seeds."""
    if len(data) > MAX_SEEDS_BYTES:
        raise WireError(f"seeds of more than {MAX_SEEDS_BYTES} bytes")
    try:
        rows = fields.listed(json.loads(data)["seeds"], most=MAX_SEEDS)
        return tuple(
            Seed(parse_node_id(row["node_id"]), fields.addresses(row["addresses"])) for row in rows
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise WireError("malformed seeds") from None
