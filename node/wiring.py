"""The one place where concrete classes are built and plugged into each other, top to bottom."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from random import Random

from dht.announcer import EdgeAnnouncer
from dht.bootstrap import Bootstrap
from dht.directory import Directory
from dht.edge_client import EdgeClient
from dht.kademlia import KademliaDirectory
from dht.mdns import Mdns
from dht.neighbourhood import Neighbourhood
from dht.remembered import RememberedPeers
from mesh.clock import SystemClock
from mesh.identity.boot import Boot, next_boot
from mesh.identity.keys import NodeKey
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.links.reception import Introduction
from mesh.ports import StreamKind
from mesh.version import VERSION
from node.config import Config
from node.dispatch.mesh_dispatch import MeshDispatch
from node.gateway.accounts import LocalAccounts
from node.gateway.gateway import Gateway
from node.gateway.settings import GatewaySettings, Suppliers
from node.memory_cap import MemoryCap
from node.network import resolve_network
from node.node import ElectronsNode, Parts
from node.report import Report
from services.catalog import Catalog
from services.engine_choice import choose_engines
from services.host import Host

KEY_FILE = "node.key"
BOOT_FILE = "boot"
PEERS_FILE = "peers.json"


def build(config: Config) -> ElectronsNode:
    """A node that is not started yet. Needs a running loop and the locked data folder.

    Raises StorageError when the folder's files are unusable.
    """
    key = NodeKey.load_or_create(config.data_dir / KEY_FILE)
    boot = next_boot(config.data_dir / BOOT_FILE)
    token = secrets.token_urlsafe(32)
    clock, rng, tasks = SystemClock(), Random(), Tasks("node")
    links = _build_links(config, key, boot)
    directory = Directory(
        key=key,
        mesh_id=resolve_network(config.network),
        boot=boot.counter,
        links=links,
        clock=clock,
        tasks=tasks,
        rng=rng,
        on_change=lambda *_: neighbourhood.wake(),
    )
    table = KademliaDirectory(
        key=key,
        mesh_id=resolve_network(config.network),
        boot=boot.counter,
        links=links,
        clock=clock,
        tasks=tasks,
        rng=rng,
    )
    neighbourhood = Neighbourhood(
        own=key.node_id, directory=directory, links=links, clock=clock, tasks=tasks, rng=rng
    )
    mesh_id = resolve_network(config.network)
    edges = [EdgeClient(url, mesh_id=mesh_id, own=key.node_id) for url in config.edge]
    bootstrap = _build_bootstrap(config, key, links, directory, edges, tasks, rng)
    choice = choose_engines(
        config.engines,
        slots=config.slots,
        demo_rate=config.demo_rate,
        model_file=config.model_file,
    )
    catalog = Catalog(
        engines=choice.engines,
        discovery=choice.discovery,
        fallback=choice.fallback,
        aliases=config.aliases,
        clock=clock,
        tasks=tasks,
        rng=rng,
    )
    host = Host(
        engines=catalog,
        clock=clock,
        tasks=tasks,
        queue_limit=config.queue_limit,
        slots=config.slots,
        over_memory_cap=MemoryCap(config.memory_cap).exceeded,
        on_load=directory.set_load,
    )
    links.serve(StreamKind.JOB, host.serve)
    dispatch = MeshDispatch(
        node_id=key.node_id,
        links=links,
        view=directory.view,
        lookup=table,
        catalog=catalog,
        host=host,
        aliases=config.aliases,
        clock=clock,
        tasks=tasks,
        rng=rng,
    )
    report = Report(
        config=config,
        node_id=key.node_id,
        links=links,
        directory=directory,
        table=table,
        bootstrap=bootstrap,
        catalog=catalog,
        host=host,
        dispatch=dispatch,
    )
    gateway = Gateway(
        node_id=key.node_id,
        dispatch=dispatch,
        view=directory.view,
        accounts=LocalAccounts(
            access=config.access or "local", admin_token=token, key_digests=config.api_keys
        ),
        suppliers=Suppliers(
            node_info=report.node_info,
            own_models=catalog.models,
            health=report.health,
            aliases=lambda: config.aliases,
            counters=report.counters,
        ),
        settings=GatewaySettings(
            allowed_origins=config.cors_origins, first_byte_seconds=config.deadline_seconds
        ),
        mesh_websocket=links.accept_websocket,
        clock=clock,
    )
    return ElectronsNode(
        config=config,
        token=token,
        parts=Parts(
            links=links,
            directory=directory,
            table=table,
            neighbourhood=neighbourhood,
            bootstrap=bootstrap,
            announcer=EdgeAnnouncer(directory=directory, edges=edges, tasks=tasks, rng=rng),
            catalog=catalog,
            host=host,
            dispatch=dispatch,
            gateway=gateway,
            report=report,
            tasks=tasks,
        ),
    )


def _build_links(config: Config, key: NodeKey, boot: Boot) -> LinkPool:
    def introduce() -> Introduction:
        return Introduction(
            roles=config.built_roles,
            addresses=links.addresses,
            software=f"distributed-electrons/{VERSION}",
        )

    links = LinkPool(
        key=key,
        mesh_id=resolve_network(config.network),
        boot=boot,
        introduce=introduce,
        listen=(config.mesh.host, config.mesh.port),
    )
    return links


def _build_bootstrap(
    config: Config,
    key: NodeKey,
    links: LinkPool,
    directory: Directory,
    edges: Sequence[EdgeClient],
    tasks: Tasks,
    rng: Random,
) -> Bootstrap:
    mesh_id = resolve_network(config.network)
    return Bootstrap(
        own=key.node_id,
        links=links,
        directory=directory,
        tasks=tasks,
        addresses=config.join,
        remembered=RememberedPeers(config.data_dir / PEERS_FILE),
        mdns=Mdns(own=key.node_id, mesh_id=mesh_id, tasks=tasks) if config.mdns else None,
        edges=edges,
        rng=rng,
    )
