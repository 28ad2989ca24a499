"""What hostile nodes answer. All of one attack know each other and act as one."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from chaos.dht_attack.network import End, Network, Wire
from mesh.ids import NodeId
from mesh.wire import dht
from mesh.wire.dht_records import SignedDhtRecord

Strategy = Literal["silent", "colluding", "phantoms", "decoys", "stale", "forged"]
"""silent: routes properly, takes records and has none. colluding: names hostile nodes only.
phantoms: names nodes that do not exist, at the key. decoys: colluding, and offers the model itself.
stale: colluding, and shows what a provider said before. forged: colluding, and shows broken,
foreign and misplaced records. None of them keeps what it is asked to hold."""

NAMED = 20
"""Contacts in each answer, as many as there may be."""
DECOYS = 64
"""Records each liar offers: as many as a search wants."""


@dataclass
class Adversary:
    """One attacker with many identities."""

    network: Network
    rng: Random
    strategy: Strategy
    ends: list[End] = field(default_factory=list)
    honest: Sequence[tuple[NodeId, str]] = ()
    decoys: dict[bytes, list[SignedDhtRecord]] = field(default_factory=dict)
    stale: dict[bytes, list[SignedDhtRecord]] = field(default_factory=dict)
    foreign: list[SignedDhtRecord] = field(default_factory=list)
    asked: int = 0

    def join(self, node: NodeId, prefix: str = "") -> End:
        """One more identity."""
        end = self.network.join(node, self._answer, prefix)
        self.ends.append(end)
        return end

    async def _answer(self, link: Wire, data: bytes) -> bytes:
        self.asked += 1
        me = dht.Self(True, (link.own_address,))
        match dht.decode_request(data):
            case dht.Ping():
                return dht.encode(dht.Pong(me))
            case dht.FindNodes(_, key):
                return dht.encode(dht.Nodes(me, self._named(key)))
            case dht.FindRecords(_, key) as request:
                items = self._items(key)
                named = self._named(request.towards or key)
                return dht.encode(dht.Found(me, named, items, False, len(items), bytes(8)))
            case dht.Store(_, items):
                return dht.encode(dht.Stored(me, (True,) * len(items)))

    def _items(self, key: bytes) -> tuple[tuple[float, bytes], ...]:
        match self.strategy:
            case "decoys":
                told = self.decoys.get(key, [])
            case "stale":
                told = self.stale.get(key, [])
            case "forged":
                return tuple((900.0, data) for data in self._forgeries(key))
            case _:
                told = []
        return tuple((900.0, each.data) for each in told[:DECOYS])

    def _forgeries(self, key: bytes) -> list[bytes]:
        """Others' records, and what providers said with a bit turned."""
        own = [each.data for each in self.stale.get(key, [])]
        turned = [data[:-1] + bytes([data[-1] ^ 1]) for data in own]
        return turned + [each.data for each in self.foreign[:NAMED]]

    def _named(self, place: bytes) -> tuple[dht.Address, ...]:
        if self.strategy == "silent":
            known = [*self.honest, *((each.node, each.address) for each in self.ends)]
            return self._nearest(place, known)
        if self.strategy == "phantoms":
            return tuple(self._phantom(place) for _ in range(NAMED))
        return self._nearest(place, [(each.node, each.address) for each in self.ends])

    def _nearest(
        self, place: bytes, known: Sequence[tuple[NodeId, str]]
    ) -> tuple[dht.Address, ...]:
        target = int.from_bytes(place, "big")
        near = heapq.nsmallest(NAMED, known, key=lambda each: int(each[0], 16) ^ target)
        return tuple(dht.Address(node, (address,)) for node, address in near)

    def _phantom(self, place: bytes) -> dht.Address:
        node = int.from_bytes(place, "big") ^ self.rng.getrandbits(140)
        host = ".".join(str(self.rng.randrange(20, 99)) for _ in range(4))
        return dht.Address(NodeId(f"{node:040x}"), (f"tcp://{host}:4001",))
