"""Takes what linked peers say, checks it once, and fetches what they know better."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from dht.allowance import Allowance
from dht.peer_table import PeerTable, Verdict
from dht.vet import Vet, believe_all
from mesh.capability import Load
from mesh.clock import Clock
from mesh.errors import RecordRejected, WireError
from mesh.ids import MeshId, NodeId
from mesh.ports import Link, Stream, StreamKind
from mesh.wire.discovery import (
    BUCKETS,
    MAX_BATCH,
    Digest,
    DiscoveryMessage,
    Listing,
    LoadReport,
    Loss,
    Lost,
    Records,
    Want,
    decode,
    encode,
    pack_records,
)
from mesh.wire.records import open_node, peek_node

log = logging.getLogger(__name__)

CHECK_RATE = 100.0
CHECK_BURST = 4_000.0
"""Records a second, and at once, whose signature one peer may make this node check (170 us)."""
LOST_RATE = 10.0
LOST_BURST = 2_048.0
"""Losses one peer may report a second, and at once: half a mesh may be cut off together."""
MESSAGE_RATE = 100.0
MESSAGE_BURST = 1_000.0
"""Messages of any kind that one peer may send a second, and at once; more are taken later."""
ASK_TIMEOUT = 5.0


class Hearer(Protocol):
    """Is told what came of what peers said."""

    def learned(self, node: NodeId, verdict: Verdict, link: Link) -> None: ...

    def reported_lost(self, loss: Loss, source: NodeId) -> None: ...

    def vouched_for(self, node: NodeId, seq: int, source: NodeId) -> None: ...

    def loaded(self, node: NodeId, load: Load) -> None: ...

    def outdone(self, seq: int) -> None:
        """A newer record of this node itself is about: from an earlier life, or a clone."""
        ...


class Exchange:
    """Serves DIRECTORY and STATUS streams, and compares directories with peers."""

    def __init__(
        self,
        *,
        own: NodeId,
        mesh_id: MeshId,
        clock: Clock,
        table: PeerTable,
        hearer: Hearer,
        vet: Vet = believe_all,
    ) -> None:
        self._own = own
        self._vet = vet
        self._mesh_id = mesh_id
        self._clock = clock
        self._table = table
        self._hearer = hearer
        self._checks = Allowance(rate=CHECK_RATE, burst=CHECK_BURST)
        self._losses = Allowance(rate=LOST_RATE, burst=LOST_BURST)
        self._messages = Allowance(rate=MESSAGE_RATE, burst=MESSAGE_BURST)
        self.refused = 0
        """Records that were not believed."""

    async def serve(self, link: Link, stream: Stream) -> None:
        """Handle messages until the peer finishes. Raises WireError on nonsense."""
        while (data := await stream.receive()) is not None:
            await asyncio.sleep(self._messages.reserve(link.peer, 1, self._clock.now()))
            answer = await self._handle(link, decode(data))
            if answer is not None:
                await stream.send(encode(answer))
        stream.finish()

    async def pull(self, link: Link) -> None:
        """Fetch whatever the peer knows better. Raises LinkError, TimeoutError or WireError."""
        start = 0
        for _ in range(BUCKETS):
            listing = await self._ask(link, self._table.digest(start))
            if not isinstance(listing, Listing):
                raise WireError("a digest was not answered by a listing")
            await self._fetch(link, listing)
            if listing.start is None or listing.start <= start:
                return
            start = listing.start

    async def _fetch(self, link: Link, listing: Listing) -> None:
        for each in listing.items:
            if each.linked:
                self._hearer.vouched_for(each.node, each.seq, link.peer)
            elif each.lost:
                self._hearer.reported_lost(Loss(each.node, each.seq), link.peer)
        missing = self._table.missing(listing)
        while missing:
            batch, missing = missing[:MAX_BATCH], missing[MAX_BATCH:]
            records = await self._ask(link, Want(tuple(batch)))
            if not isinstance(records, Records) or not records.items:
                return
            got = await self._take(link, records)
            left = [node for node in batch if node not in got]
            missing = missing + (left if len(left) < len(batch) else [])

    async def _ask(self, link: Link, question: DiscoveryMessage) -> DiscoveryMessage:
        return decode(await link.call(StreamKind.DIRECTORY, encode(question), timeout=ASK_TIMEOUT))

    async def _handle(self, link: Link, message: DiscoveryMessage) -> DiscoveryMessage | None:
        match message:
            case Records():
                await self._take(link, message)
            case Lost(nodes):
                if self._losses.take(link.peer, len(nodes), self._clock.now()):
                    for loss in nodes:
                        self._hearer.reported_lost(loss, link.peer)
            case LoadReport(load):
                self._hearer.loaded(link.peer, load)
            case Digest():
                return self._table.listing(message)
            case Want(nodes):
                return self._give(nodes)
            case Listing():
                raise WireError("a listing came that was not asked for")
        return None

    def _give(self, nodes: tuple[NodeId, ...]) -> Records:
        """As many of the wanted records as one message holds."""
        now = self._clock.now()
        items = [item for node in nodes if (item := self._table.remaining(node, now)) is not None]
        messages = pack_records(items)
        return messages[0] if messages else Records(())

    async def _take(self, link: Link, records: Records) -> set[NodeId]:
        """Merge records; returns whose they were. A peer that sends too many new ones is slowed."""
        seen: set[NodeId] = set()
        for remaining, data in records.items:
            node, seq = peek_node(data)
            seen.add(node)
            if not self._table.is_news(node, seq):
                self._table.renew(node, seq, remaining, self._clock.now())
                continue
            await asyncio.sleep(self._checks.reserve(link.peer, 1, self._clock.now()))
            self._check(link, remaining, data)
        return seen

    def _check(self, link: Link, remaining: float, data: bytes) -> None:
        try:
            signed = open_node(data, self._mesh_id, self._clock.wall())
        except (WireError, RecordRejected) as error:
            self._refuse(link, error)
            return
        try:
            self._vet(signed.record.node_id, signed.record.grants)
        except RecordRejected as error:
            self._table.turn_away(signed.record)
            self._refuse(link, error)
            return
        if signed.record.node_id == self._own:
            self._hearer.outdone(signed.record.seq)
            return
        verdict = self._table.offer(signed, remaining, self._clock.now())
        self._hearer.learned(signed.record.node_id, verdict, link)

    def _refuse(self, link: Link, error: Exception) -> None:
        self.refused += 1
        log.debug("refused a record from %s: %s", link.peer[:8], error)
