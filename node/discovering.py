"""Builds what finds nodes and lets this one be found."""

from __future__ import annotations

from coordinator.registry.registry import Registry
from dht.announcer import EdgeAnnouncer
from dht.bootstrap import Bootstrap
from dht.defences import CLOSED, OPEN
from dht.directory import Directory
from dht.edge_client import EdgeClient
from dht.kademlia import KademliaDirectory
from dht.mdns import Mdns
from dht.neighbourhood import Neighbourhood
from dht.neighbours import COORDINATORS
from dht.peer_table import MAX_NODES
from dht.remembered import RememberedPeers
from mesh.links.pool import MAX_LINKS
from node.base import Base
from node.environment import environment
from node.network import is_founded
from node.parts import Discovery
from node.proxies import choose_proxies
from node.relays import build_relays

ALL_COORDINATORS = 16
"""Other coordinators that a coordinator keeps links to."""
PEERS_FILE = "peers.json"


def build_discovery(base: Base) -> Discovery:
    """Everything that finds nodes and is found; nothing is started."""
    directory = Directory(
        key=base.key,
        mesh_id=base.mesh_id,
        boot=base.boot.counter,
        links=base.links,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
        most=MAX_NODES + (MAX_LINKS if base.coordinates else 0),
        on_change=lambda *_: neighbourhood.wake(),
        patience=base.patience,
        vet=base.trust.vet,
    )
    registry = _build_registry(base, directory)
    table = _build_table(base)
    neighbourhood = Neighbourhood(
        own=base.node_id,
        directory=directory,
        links=base.links,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
        coordinators=ALL_COORDINATORS if base.coordinates else COORDINATORS,
        place=lambda: base.reach.known.place,
    )
    proxies = choose_proxies(base.config.proxy, environment())
    edges = [
        EdgeClient(url, mesh_id=base.mesh_id, own=base.node_id, proxies=proxies)
        for url in base.config.edge
    ]
    bootstrap = _build_bootstrap(base, directory, edges)
    announcer = EdgeAnnouncer(
        directory=directory,
        edges=edges,
        tasks=base.tasks,
        rng=base.rng,
        reachable=lambda: base.reach.known.reachable,
    )
    relays = build_relays(
        own=base.node_id,
        links=base.links,
        directory=directory,
        reach=base.reach.known,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
    )
    return Discovery(
        directory, table, neighbourhood, bootstrap, announcer, registry, base.reach, relays
    )


def _build_registry(base: Base, directory: Directory) -> Registry:
    return Registry(
        own=base.node_id,
        mesh_id=base.mesh_id,
        directory=directory,
        links=base.links,
        clock=base.clock,
        tasks=base.tasks,
        coordinator=base.coordinates,
        expected=is_founded(base.config.network),
        vet=base.trust.vet,
    )


def _build_table(base: Base) -> KademliaDirectory:
    return KademliaDirectory(
        key=base.key,
        mesh_id=base.mesh_id,
        boot=base.boot.counter,
        links=base.links,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
        vet=base.trust.vet,
        defences=CLOSED if base.trust.closed else OPEN,
    )


def _build_bootstrap(base: Base, directory: Directory, edges: list[EdgeClient]) -> Bootstrap:
    mdns = Mdns(own=base.node_id, mesh_id=base.mesh_id, tasks=base.tasks)
    return Bootstrap(
        own=base.node_id,
        links=base.links,
        directory=directory,
        tasks=base.tasks,
        addresses=base.config.join,
        remembered=RememberedPeers(base.config.data_dir / PEERS_FILE),
        mdns=mdns if base.config.mdns else None,
        edges=edges,
        rng=base.rng,
    )
