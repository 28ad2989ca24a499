"""Every node finds out how it is reached: `python -m chaos.reach_states`, about half a minute.

Four public nodes, and one each: behind a router; behind a router that forwards the port; behind a
router behind a carrier's; at a public address with a firewall; behind a router that forwards ports
when asked by UPnP. Each must say what is so, be told to
others with addresses that work only, and find out when its outside address changes. In the end one
is made to say what is not so, and the check must notice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.nat_lab import Home, LabHost, NatLab
from chaos.nat_rules import Forwarded, NatKind
from chaos.network_lab import enter
from chaos.nodes import Node, Nodes, open_nodes
from chaos.reach_nodes import session_of, tell
from chaos.upnp_gateway import Mapping, UpnpGateway, search_socket

PUBLIC_NODES: Final = 4
PORT: Final = 7718
FOUND_SECONDS: Final = 20.0
"""For all to know; who drops packets costs the 3 s after which an address counts as silent."""
MOVED_SECONDS: Final = 60.0
"""Links die in silence when the address changes; then peers are dialled and asked again."""
POLL_SECONDS: Final = 0.25
FIREWALL: Final = """table ip wall {
 chain in {
  type filter hook input priority filter; policy drop;
  iifname "lo" accept
  ct state established,related accept
 }
}
"""


@dataclass
class Place:
    """A machine with a node on it, and what the node should find."""

    host: LabHost
    node: Node
    state: str
    home: Home | None = None
    session: Any = None
    took: float = 0.0

    @property
    def working(self) -> list[str]:
        """By which addresses others reach it."""
        if self.state == "private":
            return []
        outside = self.home.outside if self.home else self.host.address
        return [f"tcp://{outside}:{PORT}"]

    async def get(self, path: str) -> Any:
        async with self.session.get(f"{self.node.http}{path}") as answer:
            return await answer.json()

    async def fault(self) -> str:
        """What the node says that is not so; "" when all is well."""
        reach = (await self.get("/api/node"))["reach"]
        if (reach["state"], reach["addresses"]) == (self.state, self.working):
            return ""
        expected = f"{self.state} {self.working}"
        return f"{self.host.name} says {reach['state']} {reach['addresses']}, it is {expected}"


@dataclass
class Lab:
    """All places; the public ones first."""

    places: list[Place] = field(default_factory=list)
    gateway: UpnpGateway | None = None
    """Of the last place's home."""

    async def start(self) -> None:
        doors = [place.node for place in self.places[:PUBLIC_NODES]]
        await doors[0].start()
        for place in self.places[1:]:
            await place.node.start([door for door in doors if door.alive])

    async def settle(self, places: Sequence[Place], seconds: float) -> list[str]:
        """Wait until all is well with these; the faults that are left."""
        began = time.monotonic()
        waiting = list(places)
        while waiting and time.monotonic() - began < seconds:
            await asyncio.sleep(POLL_SECONDS)
            for place in list(waiting):
                if not await place.fault():
                    place.took = round(time.monotonic() - began, 2)
                    waiting.remove(place)
        return [await place.fault() for place in waiting]

    async def told(self) -> list[str]:
        """Faults in what the first node was told of the others' addresses."""
        peers = {
            each["node_id"]: each for each in (await self.places[0].get("/api/peers"))["peers"]
        }
        faults = []
        for place in self.places[1:]:
            seen = peers.get(place.node.node_id, {"addresses": []})["addresses"]
            direct = [url for url in seen if url.startswith("tcp://")]
            near = [f"tcp://{place.host.address}:{PORT}"] if place.home else []
            if direct != [*place.working, *near]:
                faults.append(f"{place.host.name} is told at {direct}")
        return faults


@asynccontextmanager
async def lab_of_places() -> AsyncIterator[tuple[Lab, Place]]:
    """The lab, and the place whose outside address is to change."""
    net, lab = NatLab(), Lab()
    try:
        async with AsyncExitStack() as stack, open_nodes() as nodes:
            for number in range(PUBLIC_NODES):
                host = net.add_public(f"public-{number}")
                lab.places.append(Place(host, _node(nodes, host), "public"))
            lab.places += _private_places(net, nodes)
            mapped = _mapped_place(net, nodes)
            lab.places.append(mapped)
            lab.gateway = await stack.enter_async_context(_asked_place(net, nodes, lab))
            for place in lab.places:
                place.session = await stack.enter_async_context(session_of(place.host))
            yield lab, mapped
    finally:
        net.close()


def _private_places(net: NatLab, nodes: Nodes) -> list[Place]:
    home = net.add_home("home", NatKind.CONE)
    behind = home.add_host("behind a router")
    carrier = net.add_carrier("carrier", NatKind.CONE)
    inner = net.add_home("inner", NatKind.CONE, inside=carrier)
    carried = inner.add_host("behind a carrier")
    inner.forward(PORT, carried)
    walled = net.add_public("behind a firewall")
    walled.namespace.run("nft", "-f", "-", given=FIREWALL)
    return [
        Place(behind, _node(nodes, behind), "private", home),
        Place(carried, _node(nodes, carried), "private", inner),
        Place(walled, _node(nodes, walled), "private"),
    ]


def _mapped_place(net: NatLab, nodes: Nodes) -> Place:
    home = net.add_home("mapped", NatKind.CONE)
    host = home.add_host("with a forwarded port")
    home.forward(PORT, host)
    return Place(host, _node(nodes, host), "mapped", home)


@asynccontextmanager
async def _asked_place(net: NatLab, nodes: Nodes, lab: Lab) -> AsyncIterator[UpnpGateway]:
    """One whose router forwards what it is asked to, and that router's ear."""
    home = net.add_home("asked", NatKind.CONE)
    host = home.add_host("with a router that can be asked")
    lab.places.append(Place(host, _node(nodes, host), "mapped", home))

    def forward(mappings: dict[int, Mapping]) -> None:
        home.forwarded = tuple(Forwarded(outer, each.host) for outer, each in mappings.items())
        home.set_kind(home.kind)

    gateway = UpnpGateway(home.inside, changed=forward)
    with home.router.inside():
        http, search = socket.create_server((home.inside, 0)), search_socket(home.inside)
    await gateway.start(http, search)
    try:
        yield gateway
    finally:
        await gateway.close()


def _node(nodes: Nodes, host: LabHost) -> Node:
    words = ("--access", "open", "--engine", "none", "--mesh", f"{host.address}:{PORT}")
    return nodes.add(*words, enter=host.enter, host=host.address)


async def run(*, moves: bool) -> dict[str, Any]:
    """Everything; what was seen."""
    async with lab_of_places() as (lab, mapped):
        await lab.start()
        faults = await lab.settle(lab.places, FOUND_SECONDS)
        tell(f"found: {faults or 'all as it is'}")
        faults += await lab.told()
        report: dict[str, Any] = {
            "found_after_seconds": {place.host.name: place.took for place in lab.places},
            "faults": faults,
        }
        if moves:
            assert mapped.home is not None
            tell(f"new outside address {mapped.home.change_address()}")
            report["faults"] += await lab.settle([mapped], MOVED_SECONDS)
            report["new_address_found_after_seconds"] = mapped.took
        assert lab.gateway is not None
        report["ports_forwarded"] = list(lab.gateway.mappings)
        await lab.places[-1].node.stop()
        if lab.gateway.mappings:
            report["faults"].append(f"a stopped node left {lab.gateway.mappings}")
        behind = lab.places[PUBLIC_NODES]
        await behind.node.stop()
        behind.node.arguments += ("--reach", "public")
        await behind.node.start([lab.places[0].node])
        report["planted_fault_seen"] = await behind.fault()
        return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="no change of the outside address")
    arguments = parser.parse_args()
    enter("chaos.reach_states", sys.argv[1:])
    report = asyncio.run(run(moves=not arguments.quick))
    print(json.dumps(report, indent=2))
    return 1 if report["faults"] or not report["planted_fault_seen"] else 0


if __name__ == "__main__":
    sys.exit(main())
