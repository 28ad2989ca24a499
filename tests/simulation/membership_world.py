"""A thousand nodes' membership in virtual time: the real tables, suspicions, vigils and health.

Links, records and clocks are modelled; every decision is the product's. Nodes crash (links break),
freeze (silence), run late (starved machines) and are cut off; links break between living nodes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from dht.membership import Confront, Deny, Effect, Membership, Show, Spread
from dht.peer_table import PeerTable
from dht.suspicion import Suspicions
from mesh.capability import NodeRecord
from mesh.health import LocalHealth
from mesh.ids import NodeId
from mesh.links.vigil import TICK, Vigil
from mesh.wire.discovery import Loss
from mesh.wire.records import SignedNode

LINKS = 12
FANOUT = 16
TTL = 3_600.0


@dataclass(frozen=True)
class Bugs:
    """Switched on to see whether the checker notices."""

    confirmations: int = 2
    deaf: bool = False
    """Nobody denies."""
    incredulous: bool = False
    """A loss that nobody denies is never believed."""


def record(node: NodeId, seq: int) -> SignedNode:
    return SignedNode(NodeRecord(node, seq, 0.0, TTL), f"{node}{seq}".encode())


@dataclass
class SimNode:
    """One node: its decisions are the product's own objects."""

    id: NodeId
    table: PeerTable
    membership: Membership
    health: LocalHealth = field(default_factory=LocalHealth)
    links: dict[NodeId, Vigil] = field(default_factory=dict)
    seq: int = 1
    alive: bool = True
    frozen: bool = False
    side: int = 0
    asleep_until: float = 0.0
    ticked: float = 0.0
    awaiting: bool = False
    """It has set itself a timer for suspicions."""
    denials: list[float] = field(default_factory=list)
    inbox: list[Callable[[], None]] = field(default_factory=list)
    hidden: set[NodeId] = field(default_factory=set)

    @property
    def runs(self) -> bool:
        return self.alive and not self.frozen


class World:
    """All nodes, the time, and who is hidden from how many."""

    def __init__(self, seed: int, count: int, bugs: Bugs) -> None:
        self.rng = Random(seed)
        self.bugs = bugs
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self.messages = 0
        self.hidden_from: Counter[NodeId] = Counter()
        ids = [NodeId(f"{self.rng.getrandbits(160):040x}") for _ in range(count)]
        first = {each: record(each, 1) for each in ids}
        self.nodes = {each: self._node(each, first) for each in ids}
        for each in ids:
            while len(self.nodes[each].links) < LINKS // 2:
                self.link(each, self.rng.choice(ids))
        for node in self.nodes.values():
            self.at(self.rng.uniform(0, TICK), lambda node=node: self._tick(node))  # type: ignore[misc]

    def _node(self, own: NodeId, records: dict[NodeId, SignedNode]) -> SimNode:
        table = PeerTable(own)
        for node, signed in records.items():
            if node != own:
                table.offer(signed, TTL, 0.0)
        suspicions = Suspicions(confirmations=self.bugs.confirmations)
        return SimNode(own, table, Membership(own, table, suspicions=suspicions))

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, action))

    def run(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = until

    # ── what happens to nodes ───────────────────────────────────────────────────────────────────

    def link(self, one: NodeId, other: NodeId) -> None:
        a, b = self.nodes[one], self.nodes[other]
        if one == other or other in a.links or not (a.runs and b.runs) or a.side != b.side:
            return
        for node, peer in ((a, b), (b, a)):
            node.links[peer.id] = Vigil()
            self.perform(node, node.membership.link_up(peer.id))
        if self.now:
            self.compare(a, b)
            self.compare(b, a)

    def compare(self, node: SimNode, peer: SimNode) -> None:
        """What the exchange does with a peer's listing."""
        listing = peer.table.listing(node.table.digest())
        for each in listing.items:
            if each.linked:
                self.perform(node, node.membership.vouched(each.node, each.seq, peer.id))
            elif each.lost:
                self._accuse(node, Loss(each.node, each.seq), peer.id)
        for missing in node.table.missing(listing):
            entry = peer.table.get(missing)
            seq = peer.seq if missing == peer.id else entry.signed.record.seq if entry else 0
            self._learn(node, record(missing, seq), peer.id)

    def crash(self, victim: NodeId) -> None:
        """The process dies: its peers see their links break at once."""
        dead = self.nodes[victim]
        dead.alive = False
        for peer in list(dead.links):
            self.break_link(victim, peer)

    def freeze(self, victim: NodeId) -> None:
        self.nodes[victim].frozen = True

    def break_link(self, one: NodeId, other: NodeId) -> None:
        for node, peer in ((self.nodes[one], other), (self.nodes[other], one)):
            if node.links.pop(peer, None) is not None:
                self.deliver(node, lambda node=node, peer=peer: self._lost_link(node, peer))  # type: ignore[misc]

    def starve(self, victim: NodeId, until: float) -> None:
        """The node runs late: it sleeps for up to a second and a half, again and again."""
        node = self.nodes[victim]
        if self.now < until and node.runs:
            node.asleep_until = self.now + self.rng.uniform(0.2, 1.5)
            awake = node.asleep_until + self.rng.uniform(0.01, 0.1)
            self.at(node.asleep_until, lambda: self._wake(node))
            self.at(awake, lambda: self.starve(victim, until))

    def cut_off(self, nodes: Iterable[NodeId]) -> None:
        for each in nodes:
            self.nodes[each].side = 1

    def heal(self) -> None:
        for node in self.nodes.values():
            node.side = 0

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────

    def _wake(self, node: SimNode) -> None:
        """It answers the pings that wait, and reads what came."""
        for peer in node.links:
            other = self.nodes[peer]
            if other.side == node.side and node.runs and node.id in other.links:
                other.links[node.id].heard = True
        inbox, node.inbox = node.inbox, []
        for action in inbox:
            action()

    def _tick(self, node: SimNode) -> None:
        if not node.runs:
            return
        if node.asleep_until > self.now:
            self.at(node.asleep_until + 0.001, lambda: self._tick(node))
            return
        elapsed, node.ticked = self.now - node.ticked, self.now
        node.health.woke(elapsed - TICK, elapsed, self.now)
        patience = node.health.patience(self.now)
        for peer, vigil in list(node.links.items()):
            vigil.heard = vigil.heard or self._speaks(self.nodes[peer], node)
            if vigil.tick(elapsed, patience) == "dead":
                del node.links[peer]
                self.nodes[peer].links.pop(node.id, None)
                self._lost_link(node, peer)
                other = self.nodes[peer]
                self.deliver(other, lambda other=other: self._lost_link(other, node.id))  # type: ignore[misc]
        self._befriend(node)
        self.at(self.now + TICK, lambda: self._tick(node))

    def _speaks(self, peer: SimNode, node: SimNode) -> bool:
        return peer.runs and peer.side == node.side and peer.asleep_until <= self.now

    def _lost_link(self, node: SimNode, peer: NodeId) -> None:
        self.perform(node, node.membership.link_down(peer, broke=True))

    def _befriend(self, node: SimNode) -> None:
        """Neighbours are replaced."""
        if len(node.links) < LINKS // 2:
            other = self.rng.choice(list(self.nodes))
            entry = node.table.get(other)
            if entry is not None and entry.visible:
                self.link(node.id, other)

    def send(self, source: SimNode, target: NodeId, action: Callable[[SimNode], None]) -> None:
        node = self.nodes[target]
        self.messages += 1
        if target in source.links and node.side == source.side:
            when = self.now + self.rng.uniform(0.005, 0.04)
            self.at(when, lambda: self.deliver(node, lambda: action(node)))

    def deliver(self, node: SimNode, action: Callable[[], None]) -> None:
        """Now, or when the node wakes."""
        if not node.runs:
            return
        if node.asleep_until > self.now:
            node.inbox.append(action)
        else:
            action()

    def perform(self, node: SimNode, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Show(shown):
                    self._show(node, shown)
                case Spread(loss, source):
                    if not node.awaiting:
                        node.awaiting = True
                        self._await_denial(node)
                    for peer in list(node.links):
                        if peer not in (loss.node, source):
                            self._tell(node, peer, loss)
                case Confront(loss, peer):
                    self._tell(node, peer, loss)
                case Deny(seq):
                    self._deny(node, seq)

    def _tell(self, node: SimNode, peer: NodeId, loss: Loss) -> None:
        self.send(node, peer, lambda target: self._accuse(target, loss, node.id))

    def _accuse(self, node: SimNode, loss: Loss, source: NodeId) -> None:
        patience = node.health.patience(self.now)
        self.perform(node, node.membership.accused(loss, source, self.now, patience))

    def _await_denial(self, node: SimNode) -> None:
        due = node.membership.next_due()
        node.awaiting = due is not None
        if due is not None:
            when = max(due, self.now) + 0.01
            self.at(when, lambda: self.deliver(node, lambda: self._due(node)))

    def _due(self, node: SimNode) -> None:
        believed = node.membership.due(self.now)
        self.perform(node, () if self.bugs.incredulous else believed)
        node.awaiting = node.membership.next_due() is not None
        if node.awaiting:
            self._await_denial(node)

    def _deny(self, node: SimNode, seq: int) -> None:
        """Four at once, then one a second."""
        node.denials = [at for at in node.denials if self.now - at < 1.0]
        if self.bugs.deaf or seq < node.seq:
            return
        if len(node.denials) >= 4:
            self.at(self.now + 0.3, lambda: self.deliver(node, lambda: self._deny(node, seq)))
            return
        node.denials.append(self.now)
        node.seq = seq + 1
        self._push(node, record(node.id, node.seq), node.id)

    def _push(self, node: SimNode, signed: SignedNode, source: NodeId) -> None:
        peers = [peer for peer in node.links if peer not in (source, signed.record.node_id)]
        for peer in self.rng.sample(peers, min(FANOUT, len(peers))):
            self.send(node, peer, lambda target: self._learn(target, signed, node.id))

    def _learn(self, node: SimNode, signed: SignedNode, source: NodeId) -> None:
        about = signed.record.node_id
        if about == node.id or node.table.offer(signed, TTL, self.now) in ("known", "refused"):
            return
        node.membership.heard(about)
        if about in node.links:
            node.table.link(about, True)
        self._show(node, about)
        self._push(node, signed, source)

    def _show(self, node: SimNode, about: NodeId) -> None:
        entry = node.table.get(about)
        hidden = entry is not None and not entry.visible
        if hidden != (about in node.hidden):
            (node.hidden.add if hidden else node.hidden.discard)(about)
            self.hidden_from[about] += 1 if hidden else -1
