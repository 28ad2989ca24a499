"""The one place where concrete classes are built and plugged into each other, top to bottom."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from coordinator.registry.registry import Registry
from dht.announcer import EdgeAnnouncer
from dht.bootstrap import Bootstrap
from dht.directory import Directory
from dht.edge_client import EdgeClient
from dht.kademlia import KademliaDirectory
from dht.mdns import Mdns
from dht.neighbourhood import Neighbourhood
from dht.neighbours import COORDINATORS
from dht.peer_table import MAX_NODES
from dht.remembered import RememberedPeers
from mesh.capability import Role
from mesh.clock import SystemClock
from mesh.health import LocalHealth
from mesh.identity.boot import Boot, next_boot
from mesh.identity.keys import NodeKey
from mesh.identity.trust import Trust
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import MAX_LINKS, LinkPool
from mesh.links.reception import Introduction
from mesh.links.relaying import RelayTerms
from mesh.links.trimming import MAX_IDLE
from mesh.ports import StreamKind
from mesh.version import VERSION
from node.admissions import Follow, NodeAdmissions, Papers, build_admissions, follow_revocations
from node.belonging import Belonging, build_revoking, build_trust
from node.config import Config
from node.coordinating import Coordinating, GroupDesk, build_coordinating
from node.coverage import AssignmentDoor, CoverageDesk
from node.door.building import build_doors
from node.environment import environment
from node.gateway.accounts import LocalAccounts
from node.gateway.admission_handlers import AdmissionHandlers
from node.gateway.gateway import Gateway
from node.gateway.group_handlers import GroupHandlers
from node.gateway.owner_handlers import OwnerHandlers
from node.gateway.service_handlers import ServiceHandlers
from node.gateway.settings import GatewaySettings, Suppliers
from node.network import is_founded, resolve_network
from node.node import ElectronsNode
from node.parts import Discovery, Work
from node.proxies import choose_proxies
from node.reach import Reach, build_reach
from node.relays import build_relays
from node.report import Report
from node.standing import OwnStanding, take_roles
from node.succession import inherited_sockets
from node.working import build_work

ALL_COORDINATORS = 16
"""Other coordinators that a coordinator keeps links to."""

KEY_FILE = "node.key"
BOOT_FILE = "boot"
PEERS_FILE = "peers.json"


@dataclass(frozen=True, slots=True)
class _Base:
    """What nearly every part asks for."""

    config: Config
    key: NodeKey
    boot: Boot
    mesh_id: MeshId
    clock: SystemClock
    rng: Random
    tasks: Tasks
    links: LinkPool
    reach: Reach
    standing: OwnStanding
    trust: Trust
    roles: tuple[Role, ...]
    inherited: Mapping[str, socket.socket]
    """Listening sockets that the release before this one left open."""
    health: LocalHealth

    @property
    def node_id(self) -> NodeId:
        return self.key.node_id

    @property
    def coordinates(self) -> bool:
        return "coordinator" in self.roles

    def patience(self) -> float:
        return self.health.patience(self.clock.now())

    def trouble(self) -> str:
        return self.health.trouble(self.clock.now())


def build(config: Config) -> ElectronsNode:
    """A node that is not started yet. Needs a running loop and the locked data folder.

    Raises StorageError when the folder's files are unusable.
    """
    base = _build_base(config)
    discovery = _build_discovery(base)
    work = build_work(
        config,
        discovery,
        node_id=base.node_id,
        links=base.links,
        trust=base.trust,
        own_grants=lambda: base.standing.grants,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
    )
    belonging = _build_belonging(base, discovery)
    papers = Papers(base.key, base.mesh_id, config, base.standing)
    follow = follow_revocations(papers, belonging.revoking, base.clock, base.tasks)
    coordinating = _build_coordinating(base, discovery, work, follow) if base.coordinates else None
    admissions = build_admissions(
        papers, base.links, discovery.directory, coordinating, base.clock, base.tasks, base.rng
    )
    group = GroupDesk(base.links, coordinating.coordination if coordinating else None)
    doors = build_doors(
        config, base.links, discovery.directory, base.inherited, lambda each: gateway.take(each)
    )
    report = Report(
        config=config,
        roles=base.roles,
        belonging=belonging,
        admissions=admissions,
        links=base.links,
        discovery=discovery,
        work=work,
        group=group,
        doors=doors,
        trouble=base.trouble,
    )
    token = secrets.token_urlsafe(32)
    gateway = _build_gateway(base, discovery, work, report, token, coordinating, group, admissions)
    return ElectronsNode(
        config=config,
        roles=base.roles,
        inherited=base.inherited.get("http"),
        token=token,
        links=base.links,
        discovery=discovery,
        belonging=belonging,
        admissions=admissions,
        work=work,
        report=report,
        gateway=gateway,
        doors=doors,
        coordinating=coordinating,
        tasks=base.tasks,
    )


def _build_base(config: Config) -> _Base:
    key = NodeKey.load_or_create(config.data_dir / KEY_FILE)
    boot = next_boot(config.data_dir / BOOT_FILE)
    mesh_id = resolve_network(config.network)
    clock = SystemClock()
    health = LocalHealth()
    trust = build_trust(config.network, clock)
    standing = OwnStanding(
        data_dir=config.data_dir,
        given=config.grants,
        mesh_id=mesh_id,
        node_id=key.node_id,
        trust=trust,
        wall=clock.wall,
    )
    inherited = inherited_sockets()
    roles = take_roles(config.built_roles, standing.current, trust.free)

    def introduce() -> Introduction:
        software = f"distributed-electrons/{VERSION}"
        return Introduction(roles, standing.grants, reach.known.addresses, software)

    links = LinkPool(
        key=key,
        mesh_id=mesh_id,
        boot=boot,
        introduce=introduce,
        listen=(config.mesh.host, config.mesh.port),
        proxies=choose_proxies(config.proxy, environment()),
        inherited=inherited.get("mesh"),
        max_idle=MAX_LINKS if "coordinator" in roles else MAX_IDLE,
        health=health,
        trust=trust,
        relays=RelayTerms(config.relay_rate) if "relay" in roles else None,
        punch=config.punch,
    )
    tasks = Tasks("node", on_crash=lambda name, count: health.crashed(name, count, clock.now()))
    reach = build_reach(
        links=links,
        setting=config.reach,
        claimed=config.public_urls,
        port_mapping=config.port_mapping,
        clock=clock,
        tasks=tasks,
    )
    return _Base(
        config=config,
        key=key,
        boot=boot,
        mesh_id=mesh_id,
        clock=clock,
        rng=Random(),
        tasks=tasks,
        links=links,
        reach=reach,
        standing=standing,
        trust=trust,
        roles=roles,
        inherited=inherited,
        health=health,
    )


def _build_discovery(base: _Base) -> Discovery:
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
    registry = Registry(
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
    table = KademliaDirectory(
        key=base.key,
        mesh_id=base.mesh_id,
        boot=base.boot.counter,
        links=base.links,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
        vet=base.trust.vet,
    )
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


def _build_belonging(base: _Base, discovery: Discovery) -> Belonging:
    revoking = build_revoking(
        base.config.network,
        own=base.node_id,
        trust=base.trust,
        links=base.links,
        directory=discovery.directory,
        data_dir=base.config.data_dir,
        clock=base.clock,
        tasks=base.tasks,
        rng=base.rng,
    )
    return Belonging(base.standing, base.trust, base.links, base.clock, revoking)


def _build_bootstrap(base: _Base, directory: Directory, edges: list[EdgeClient]) -> Bootstrap:
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


def _build_coordinating(
    base: _Base, discovery: Discovery, work: Work, follow: Follow
) -> Coordinating:
    return build_coordinating(
        on_state=follow,
        own=base.node_id,
        founds=base.standing.current.founds,
        data_dir=base.config.data_dir,
        links=base.links,
        directory=discovery.directory,
        obey_here=work.activation.obey,
        clock=base.clock,
        rng=base.rng,
        tasks=base.tasks,
    )


def _build_gateway(
    base: _Base,
    discovery: Discovery,
    work: Work,
    report: Report,
    token: str,
    coordinating: Coordinating | None,
    group: GroupDesk,
    admissions: NodeAdmissions | None,
) -> Gateway:
    config = base.config
    desk = CoverageDesk(
        own=base.node_id,
        links=base.links,
        view=discovery.directory.view,
        own_models=work.catalog.models,
    )
    if coordinating is not None:
        desk.coordinate(coordinating.assignment.report)
    door = AssignmentDoor(obey=work.activation.obey, report=desk.own_report)
    base.links.serve(StreamKind.ASSIGNMENT, door.serve)
    return Gateway(
        node_id=base.node_id,
        dispatch=work.dispatch,
        view=discovery.directory.view,
        accounts=LocalAccounts(
            access=config.access or "local", admin_token=token, key_digests=config.api_keys
        ),
        suppliers=Suppliers(
            node_info=report.node_info,
            own_models=work.catalog.models,
            health=report.health,
            aliases=report.aliases,
            counters=report.counters,
        ),
        services=ServiceHandlers(
            coverage=desk.ask, targets=coordinating.targets if coordinating else None
        ),
        group=GroupHandlers(group.ask, group.note),
        admission=AdmissionHandlers(admissions.office if admissions else None),
        owner=OwnerHandlers(work.comfort),
        settings=GatewaySettings(
            allowed_origins=config.cors_origins,
            default_privacy=config.default_privacy,
            first_byte_seconds=config.deadline_seconds,
        ),
        mesh_websocket=base.links.accept_websocket,
        traces=work.dispatch.traces,
        clock=base.clock,
    )
