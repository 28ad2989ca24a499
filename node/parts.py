"""What a node consists of: built by `node.wiring`, started and stopped by `node.node`."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.registry.registry import Registry
from dht.announcer import EdgeAnnouncer
from dht.bootstrap import Bootstrap
from dht.directory import Directory
from dht.kademlia import KademliaDirectory
from dht.neighbourhood import Neighbourhood
from node.comfort import Comfort
from node.dispatch.mesh_dispatch import MeshDispatch
from node.reach import Reach
from node.relays import Relays
from services.activation import Activation
from services.catalog import Catalog
from services.host import Host


@dataclass(frozen=True, slots=True)
class Discovery:
    """Who is where: everything that finds nodes and is found."""

    directory: Directory
    table: KademliaDirectory
    neighbourhood: Neighbourhood
    bootstrap: Bootstrap
    announcer: EdgeAnnouncer
    registry: Registry
    reach: Reach
    relays: Relays


@dataclass(frozen=True, slots=True)
class Work:
    """What is served: engines, the jobs others bring, the jobs taken to others; and when not."""

    catalog: Catalog
    host: Host
    dispatch: MeshDispatch
    activation: Activation
    comfort: Comfort
