"""How fast nodes that nobody vouched for may appear: an identity costs nothing, an address does.

Only for whoever has no grant, so in a mesh that takes strangers. Pure.
"""

from __future__ import annotations

from collections import OrderedDict

from mesh.ids import NodeId
from mesh.links.hosts import is_inside, network_of, read_host

PER_MINUTE = 20.0
"""New identities that one network (/16 of IPv4, /32 of IPv6) may bring a minute, on average."""
BURST = 100.0
"""And at once: a school or a provider's customers behind one address may all come at the start."""
MAX_KNOWN = 8_192
"""Identities remembered, those seen longest ago make room: who was here may come back at once."""
MAX_NETWORKS = 4_096


class Newcomers:
    """Counts the identities that each network brings."""

    def __init__(self) -> None:
        self._known: OrderedDict[NodeId, None] = OrderedDict()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By network: identities that may still come, and when that was reckoned."""

    def admit(self, node: NodeId, source: str, now: float) -> bool:
        """Whether a node may come in from that host now; one that was here before always may.

        Local and private hosts are not limited: what is inside is the owner's, not the Internet's.
        """
        if node in self._known:
            self._known.move_to_end(node)
            return True
        network = _outside_network(source)
        if network is not None and not self._take(network, now):
            return False
        self._known[node] = None
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return True

    def _take(self, network: str, now: float) -> bool:
        left, at = self._left.get(network, (BURST, now))
        left = min(BURST, left + (now - at) * PER_MINUTE / 60)
        allowed = left >= 1
        self._left[network] = (left - 1 if allowed else left, now)
        self._left.move_to_end(network)
        while len(self._left) > MAX_NETWORKS:
            self._left.popitem(last=False)
        return allowed


def _outside_network(source: str) -> str | None:
    try:
        read_host(source)
    except ValueError:  # no address: a pipe inside this process
        return None
    return None if is_inside(source) else network_of(source)
