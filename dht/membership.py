"""Who lives: what follows from links that come and go and from what peers say of others. Pure.

The shell performs the effects. Loss is hearsay for everybody who has no link to the node, and needs
a second accuser or a short time without denial; whoever has a link believes the link.
"""

from __future__ import annotations

from dataclasses import dataclass

from dht.peer_table import PeerTable
from dht.suspicion import SUSPECT_FOR, Suspicions
from mesh.ids import NodeId
from mesh.wire.discovery import Loss


@dataclass(frozen=True, slots=True)
class Show:
    """What is to be seen of the node may have changed."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Spread:
    """Tell linked peers, but for the accused and for whom it came from."""

    loss: Loss
    source: NodeId


@dataclass(frozen=True, slots=True)
class Confront:
    """Tell the accused itself, or one who has a link to it, so that it denies."""

    loss: Loss
    peer: NodeId


@dataclass(frozen=True, slots=True)
class Deny:
    """This node is called lost: publish a record newer than `seq`, or show the one there is."""

    seq: int
    source: NodeId


Effect = Show | Spread | Confront | Deny


class Membership:
    """Decides about the nodes of a table."""

    def __init__(
        self, own: NodeId, table: PeerTable, *, suspicions: Suspicions | None = None
    ) -> None:
        self._own = own
        self._table = table
        self._suspicions = Suspicions() if suspicions is None else suspicions
        self._linked: set[NodeId] = set()
        """Bounded by the links."""

    def link_up(self, node: NodeId) -> list[Effect]:
        """A link is proof of life; what others said meanwhile the node may deny."""
        entry = self._table.get(node)
        was_lost = entry is not None and entry.lost
        self._linked.add(node)
        self._suspicions.clear(node)
        self._table.link(node, True)
        if entry is None or not was_lost:
            return [Show(node)]
        return [Confront(Loss(node, entry.signed.record.seq), node), Show(node)]

    def link_down(self, node: NodeId, *, broke: bool) -> list[Effect]:
        """`broke`: without a goodbye, so this node has seen for itself that the other is lost."""
        self._linked.discard(node)
        self._table.link(node, False)
        return [*(self.saw_broken(node) if broke else ()), Show(node)]

    def saw_broken(self, node: NodeId) -> list[Effect]:
        """The node's link broke here."""
        entry = self._table.get(node)
        if entry is None or not self._table.lose(node, entry.signed.record.seq):
            return []
        self._suspicions.clear(node)
        loss = Loss(node, entry.signed.record.seq, self._own)
        return [Spread(loss, node), Show(node)]

    def accused(self, loss: Loss, source: NodeId, now: float, patience: float) -> list[Effect]:
        """A peer says that somebody's link to a node broke."""
        node, seq, accuser = loss.node, loss.seq, loss.accuser or source
        if node == self._own:
            return [Deny(seq, source)]
        if node in self._linked:
            return [Confront(Loss(node, seq, accuser), node)]
        entry = self._table.get(node)
        if entry is None:
            self._table.forewarn(node, seq, now)
        if entry is None or not entry.visible or seq < entry.signed.record.seq:
            return []
        if accuser == self._own:
            return []
        verdict = self._suspicions.accuse(node, seq, accuser, now, SUSPECT_FOR * patience)
        if verdict == "known":
            return []
        spread = Spread(Loss(node, seq, accuser), source)
        if verdict == "suspected":
            return [spread]
        self._table.lose(node, seq)
        return [spread, Show(node)]

    def vouched(self, node: NodeId, seq: int, source: NodeId) -> list[Effect]:
        """A peer has a link to a node. If that is lost here, one of both is behind.

        The peer may not have noticed yet, so its word alone brings nobody back; it is to pass the
        accusation on, and the accused denies if it lives.
        """
        entry = self._table.get(node)
        if entry is None or not entry.lost or seq < entry.signed.record.seq:
            return []
        return [Confront(Loss(node, entry.signed.record.seq), source)]

    def heard(self, node: NodeId) -> None:
        """A newer record of the node has come: it lives."""
        self._suspicions.clear(node)

    def due(self, now: float) -> list[Effect]:
        """Believe what nobody denied in time."""
        return [
            Show(node)
            for node, seq in self._suspicions.due(now)
            if node not in self._linked and self._table.lose(node, seq)
        ]

    def next_due(self) -> float | None:
        """When `due` has something to do; None while nobody is suspected."""
        return self._suspicions.next_due()
