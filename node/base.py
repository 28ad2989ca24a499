"""What nearly every part of a node asks for, built first."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from mesh.capability import Role
from mesh.clock import Clock, SystemClock
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
from mesh.version import VERSION
from node.belonging import build_trust
from node.config import Config
from node.environment import environment
from node.network import resolve_network
from node.proxies import choose_proxies
from node.reach import Reach, build_reach
from node.standing import OwnStanding, take_roles
from node.succession import inherited_sockets

KEY_FILE = "node.key"
BOOT_FILE = "boot"


@dataclass(frozen=True, slots=True)
class Base:
    """Who this node is and what it stands on."""

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


def build_base(config: Config) -> Base:
    """Reads and writes the locked data folder. Raises StorageError or ConfigError."""
    key = NodeKey.load_or_create(config.data_dir / KEY_FILE)
    boot = next_boot(config.data_dir / BOOT_FILE)
    mesh_id = resolve_network(config.network)
    clock = SystemClock()
    health = LocalHealth()
    trust = build_trust(config.network, clock)
    standing = _build_standing(config, key, trust, clock)
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
    return Base(
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


def _build_standing(config: Config, key: NodeKey, trust: Trust, clock: Clock) -> OwnStanding:
    return OwnStanding(
        data_dir=config.data_dir,
        given=config.grants,
        mesh_id=trust.mesh_id,
        node_id=key.node_id,
        trust=trust,
        wall=clock.wall,
    )
