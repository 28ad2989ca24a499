"""How a link ended, as its users can tell."""

from __future__ import annotations

from mesh.errors import LinkClosed, LinkError
from mesh.ports import Link, StreamKind


def broke(link: Link) -> bool:
    """Whether a link ended without a goodbye; a dead link tells why when it is used."""
    if not link.closed:
        return False  # replaced or let go; it ends when its streams have
    try:
        link.open(StreamKind.STATUS)
    except LinkClosed as error:
        return error.cause in ("crash", "silence")
    except LinkError:
        return False
    return False
