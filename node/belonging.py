"""What makes this node a part of its mesh: what it was granted, whom it takes, what is revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from dht.directory import Directory
from mesh.clock import Clock
from mesh.identity.trust import MEMBERS_ONLY, REMOVED, Trust
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.links.reception import Rebuff
from mesh.wire.frames import GoawayCode
from node.network import is_closed, is_founded, resolve_network
from node.revoking import Revoking
from node.standing import OwnStanding, free_roles

NO_GRANT = "this node has no valid grant in its mesh: join with a ticket ('electrons join')"
REBUFF_SECONDS = 120.0
"""How long the owner is shown that a peer turned this node away."""


@dataclass(frozen=True, slots=True)
class Belonging:
    """The parts that decide who belongs, this node included."""

    standing: OwnStanding
    trust: Trust
    links: LinkPool
    clock: Clock
    revoking: Revoking | None
    """None in a mesh without a root key, where nothing can be revoked."""

    def start(self) -> None:
        """Take part in passing revocations on. Call once, before links come up."""
        if self.revoking is not None:
            self.revoking.start()

    def notes(self) -> tuple[str, ...]:
        """What the owner should know."""
        own = self.revoking.note() if self.revoking is not None else ""
        granted = self.trust.weigh(self.links.node_id, self.standing.grants).member
        lacking = NO_GRANT if self.trust.closed and not granted and not own else ""
        linked = bool(self.links.all())
        said = rebuff_note(self.links.rebuffs, self.clock.wall(), linked=linked)
        return tuple(note for note in (own, lacking, said) if note)


def rebuff_note(rebuffs: Sequence[Rebuff], wall: float, *, linked: bool) -> str:
    """What to tell of a peer that turned this node away lately; "" while others take it."""
    if linked or not rebuffs or wall > rebuffs[-1].seen_at + REBUFF_SECONDS:
        return ""
    last = rebuffs[-1]
    return f"{last.remote} says: {REMOVED if last.code is GoawayCode.REVOKED else MEMBERS_ONLY}"


def build_trust(network: str, clock: Clock) -> Trust:
    """Who is taken in the mesh of that name."""
    return Trust(
        resolve_network(network),
        wall=clock.wall,
        closed=is_closed(network),
        free=free_roles(network),
    )


def build_revoking(
    network: str,
    *,
    own: NodeId,
    trust: Trust,
    links: LinkPool,
    directory: Directory,
    data_dir: Path,
    clock: Clock,
    tasks: Tasks,
    rng: Random,
) -> Revoking | None:
    """Applies what the data folder holds at once; None in a mesh without a root key."""
    if not is_founded(network):
        return None
    return Revoking(
        own=own,
        trust=trust,
        links=links,
        data_dir=data_dir,
        clock=clock,
        tasks=tasks,
        rng=rng,
        on_removed=directory.unreachable,
    )
