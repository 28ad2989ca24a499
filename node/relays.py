"""How this node is reached where nobody can dial it, and what it relays for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from dht.directory import Directory
from dht.reachability import Reachability
from dht.relay_seats import RelaySeats
from dht.upgrading import Upgrading
from mesh.capability import Role
from mesh.clock import Clock
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.link import MeshLink
from mesh.links.pool import LinkPool
from mesh.ports import Link


@dataclass(frozen=True, slots=True)
class Relays:
    """The relays this node uses, and its own desk where it is one."""

    links: LinkPool
    seats: RelaySeats
    upgrading: Upgrading

    def start(self) -> None:
        """Begin to look for relays once this node's reach asks for it."""
        self.seats.start()
        self.upgrading.start()

    def tell_roles(self, roles: Sequence[Role]) -> tuple[Role, ...]:
        """The roles others are told: a node that nobody can dial relays for nobody."""
        return tuple(role for role in roles if role != "relay" or not self.seats.needed())

    def facts(self) -> Mapping[str, Any]:
        """For the API: through whom this node is reached, relayed links, its own desk."""
        desk = self.links.relaying.desk
        serving = {"reservations": desk.reservations, "circuits": desk.circuits} if desk else None
        relayed = [link.peer for link in self.links.all() if link.relayed]
        return {"used": list(self.seats.relays), "relayed": relayed, "serving": serving}

    def counters(self) -> Mapping[str, float]:
        """Figures for /metrics, by name."""
        relayed = sum(1 for link in self.links.all() if link.relayed)
        figures: dict[str, float] = {
            "relay_seats": len(self.seats.relays),
            "links_relayed": relayed,
            "links_upgraded_total": self.upgrading.upgraded,
        }
        punches = asdict(self.links.punching.counters).items()
        figures |= {f"punches_{name}_total": number for name, number in punches}
        desk = self.links.relaying.desk
        if desk is not None:
            figures |= {f"relay_{name}_total": n for name, n in asdict(desk.counters).items()}
            figures |= {"relay_circuits": desk.circuits, "relay_reservations": desk.reservations}
        return figures


def build_relays(
    *,
    own: NodeId,
    links: LinkPool,
    directory: Directory,
    reach: Reachability,
    clock: Clock,
    tasks: Tasks,
    rng: Random,
) -> Relays:
    """Tells others the relays through which this node is reached; yet to be started."""

    async def reserve(link: Link) -> int:
        assert isinstance(link, MeshLink)
        return await links.relaying.path.reserve(link)

    seats = RelaySeats(
        own=own,
        needed=lambda: reach.state == "private",
        view=directory.view,
        record=directory.record,
        links=links,
        reserve=reserve,
        give_up=links.relaying.path.give_up,
        clock=clock,
        tasks=tasks,
        rng=rng,
        on_change=reach.note_change,
    )

    async def punch(link: Link) -> Link:
        assert isinstance(link, MeshLink)
        return await links.punching.punch(link)

    upgrading = Upgrading(
        own=own,
        links=links,
        record=directory.record,
        upgrade=links.upgrade,
        punch=punch,
        tasks=tasks,
        rng=rng,
    )
    links.place = lambda: reach.place

    def where(relay: NodeId) -> tuple[str, ...]:
        record = directory.record(relay)
        return () if record is None else record.addresses

    links.address_book = where
    reach.add_source(seats.addresses)
    reach.on_change(seats.wake)
    return Relays(links, seats, upgrading)
