"""All nodes this node knows: its own directory, and beyond it what coordinators say. No I/O.

The newest record of a node counts, wherever it came from. With equal ones the directory decides,
which hears losses and denials at first hand; only the load comes from the registry unless a link
brings it. A node that no coordinator lists any more is believed lost after a grace, in which it may
link to another; while no coordinator answers at all, everybody stays until their record expires.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dht.directory import Directory
from dht.peer_table import Entry, PeerTable
from dht.suspicion import SUSPECT_FOR, Suspicions
from mesh.capability import Load, Peer
from mesh.clock import Clock
from mesh.ids import NodeId
from mesh.wire.discovery import Loss
from mesh.wire.records import SignedNode

MAX_ENTRIES = 100_000
"""Nodes known from coordinators; further ones are refused until some expire (about 3 KB each)."""
GRACE = 5.0
"""Seconds that a node stays which the last coordinator that listed it lists no more."""


@dataclass(slots=True)
class _Source:
    """One coordinator. `current`: its feed lives and has told all it knows."""

    nodes: set[NodeId] = field(default_factory=set)
    current: bool = False
    ended: float | None = None


class KnownNodes:
    """Complements the directory's view for as long as the node lives."""

    def __init__(
        self, *, own: NodeId, directory: Directory, clock: Clock, most: int = MAX_ENTRIES
    ) -> None:
        self._own = own
        self._directory = directory
        self._clock = clock
        self._most = most
        self._table = PeerTable(own, most=most)
        self._suspicions = Suspicions()
        self._sources: dict[NodeId, _Source] = {}
        self._unlisted: dict[NodeId, float] = {}
        """Since when the last that listed a node no longer does; only nodes of the table."""
        self.refused = 0
        """Records for which there was no room."""
        directory.complement(self._peer)

    def __len__(self) -> int:
        return len(self._table)

    def entry(self, node: NodeId) -> Entry | None:
        """The newest that is known of a node, lost and gone ones too."""
        here, there = self._directory.entry(node), self._table.get(node)
        return here if there is None or (here is not None and _decides(here, there)) else there

    def remaining(self, node: NodeId) -> tuple[float, bytes] | None:
        """A node's newest record as it is passed on: seconds to believe it, and bytes."""
        entry = self.entry(node)
        if entry is None:
            return None
        record, now = entry.signed.record, self._clock.now()
        left = record.ttl if entry.linked else entry.expires - now
        return (left, entry.signed.data) if left > 0 else None

    # ── what coordinators say ───────────────────────────────────────────────────────────────────

    def opened(self, coordinator: NodeId, *, full: bool) -> None:
        """A feed begins. `full`: what it does not mention it does not know."""
        old = self._sources.get(coordinator)
        if old is not None and full:
            self._unlist(old.nodes, self._clock.now())
        if old is None or full:
            self._sources[coordinator] = _Source()
        else:
            old.ended = None

    def caught_up(self, coordinator: NodeId) -> None:
        """The feed has told everything there was."""
        self._sources[coordinator].current = True

    def ended(self, coordinator: NodeId) -> None:
        """The feed broke off."""
        source = self._sources.get(coordinator)
        if source is not None:
            source.current, source.ended = False, self._clock.now()

    def can_resume(self, coordinator: NodeId) -> bool:
        """Whether what it listed before is still remembered."""
        return coordinator in self._sources

    def listed(self, coordinator: NodeId, node: NodeId, seq: int, remaining: float) -> bool:
        """A coordinator lists a node. True when its record is worth checking, for `take`."""
        if node == self._own:
            return False
        here, there = self._directory.entry(node), self._table.get(node)
        if there is not None and there.signed.record.seq >= seq:
            self._source(coordinator).nodes.add(node)
            self._table.renew(node, seq, remaining, self._clock.now())
            if self._table.vouch(node, seq):
                self._suspicions.clear(node)
                self._directory.show(node)
            return False
        if here is not None and here.signed.record.seq == seq:
            self.take(coordinator, here.signed, remaining)
            return False
        return True

    def take(self, coordinator: NodeId, signed: SignedNode, remaining: float) -> None:
        """A checked record that a coordinator lists."""
        node = signed.record.node_id
        if self._table.get(node) is None and len(self._table) >= self._most:
            self.refused += 1
            return
        self._source(coordinator).nodes.add(node)
        self._table.offer(signed, remaining, self._clock.now())
        self._suspicions.clear(node)
        self._directory.show(node)

    def loaded(self, node: NodeId, load: Load) -> None:
        """How busy a node is, by a coordinator's word."""
        entry = self._table.get(node)
        if entry is not None and entry.load != load:
            entry.load = load
            self._directory.show(node)

    def lost(self, coordinator: NodeId, node: NodeId, seq: int, *, decided: bool) -> None:
        """A coordinator calls a node lost.

        `decided`: by the rules for hearsay, as told to gateways; else it is one accuser by itself.
        The directory weighs it like any peer's word about nodes that it holds.
        """
        self._source(coordinator).nodes.discard(node)
        self._directory.reported_lost(Loss(node, seq), coordinator)
        if self._table.get(node) is None:
            return
        now = self._clock.now()
        verdict = self._suspicions.accuse(node, seq, coordinator, now, SUSPECT_FOR)
        if decided or verdict == "believed":
            self._suspicions.clear(node)
            self._lose(node, seq)

    def dropped(self, coordinator: NodeId, node: NodeId) -> None:
        """A coordinator says nothing of a node any more."""
        self._source(coordinator).nodes.discard(node)
        if self._table.get(node) is not None:
            self._unlist((node,), self._clock.now())

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Believe losses nobody denied, and let go whom nobody lists. Call a few times a second."""
        now = self._clock.now()
        for node, seq in self._suspicions.due(now):
            self._lose(node, seq)
        if not any(source.current for source in self._sources.values()):
            return
        for coordinator, source in list(self._sources.items()):
            if source.ended is not None and now - source.ended >= GRACE:
                self._unlist(source.nodes, source.ended)
                del self._sources[coordinator]
        overdue = [node for node, since in self._unlisted.items() if now - since >= GRACE]
        for node in overdue:
            del self._unlisted[node]
            self._let_go(node)

    def expire(self) -> None:
        """Forget nodes past their time. Looks at all of them: call it seldom."""
        for node in self._table.expire(self._clock.now()):
            for source in self._sources.values():
                source.nodes.discard(node)
            self._directory.show(node)

    def _unlist(self, nodes: Iterable[NodeId], since: float) -> None:
        for node in nodes:
            self._unlisted.setdefault(node, since)

    def _let_go(self, node: NodeId) -> None:
        entry = self._table.get(node)
        if entry is None or any(node in source.nodes for source in self._sources.values()):
            return
        self._lose(node, entry.signed.record.seq)

    def _lose(self, node: NodeId, seq: int) -> None:
        if self._table.lose(node, seq):
            self._directory.show(node)

    def _source(self, coordinator: NodeId) -> _Source:
        return self._sources.setdefault(coordinator, _Source())

    def _peer(self, node: NodeId, here: Entry | None) -> Peer | None:
        """What the view shows."""
        there = self._table.get(node)
        if there is None or (here is not None and _decides(here, there)):
            if here is None or not here.visible:
                return None
            load = here.load if here.linked or there is None else there.load
            return Peer(here.signed.record, load, here.rtt, here.linked)
        if not there.visible:
            return None
        if here is not None and here.linked:
            return Peer(there.signed.record, here.load, here.rtt, True)
        return Peer(there.signed.record, there.load)


def _decides(here: Entry, there: Entry) -> bool:
    """Whether the directory's entry counts: it is as new, or its link outlives a report of loss."""
    newer = here.signed.record.seq >= there.signed.record.seq
    return newer or (here.linked and there.lost)
