"""Builds a node's doors from its settings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from random import Random

from dht.directory import Directory
from mesh.capability import Peer
from mesh.clock import SystemClock
from mesh.lifecycle import Tasks
from mesh.links.link import MeshLink
from mesh.links.pipe import Pipe
from mesh.links.pool import LinkPool
from mesh.ports import Link
from node.config import Config
from node.door.certificate import DoorCertificate, given_certificate, now_utc, own_certificate
from node.door.doors import Doors
from node.door.holder import DoorHolder
from node.door.keeper import DoorKeeper, DoorTerms
from node.network import is_founded


def build_doors(
    config: Config,
    links: LinkPool,
    directory: Directory,
    inherited: Mapping[str, socket.socket],
    take: Callable[[asyncio.Transport], None],
) -> Doors:
    """`inherited`: "door" may be in it and listens already. `take` serves HTTP on a connection."""
    tasks = Tasks("doors")
    keeper = _build_keeper(config, links, tasks, inherited.get("door"))
    holder = _build_holder(config, links, directory.view.peers, take, tasks)
    return Doors(links, keeper, holder, tasks)


def _build_keeper(
    config: Config,
    links: LinkPool,
    tasks: Tasks,
    inherited: socket.socket | None,
) -> DoorKeeper | None:
    if config.door is None or config.door_domain is None:
        return None
    founded = is_founded(config.network)

    def may_hold(link: Link) -> str:
        assert isinstance(link, MeshLink)
        stranger = founded and not link.standing.granted
        return "only members of this mesh get a name here" if stranger else ""

    return DoorKeeper(
        DoorTerms(
            config.door.host, config.door.port, config.door_domain.name, config.door_domain.port
        ),
        links=links,
        rendezvous=links.rendezvous,
        may_hold=may_hold,
        source_of=_source_of,
        clock=SystemClock(),
        tasks=tasks,
        inherited=inherited,
    )


def _build_holder(
    config: Config,
    links: LinkPool,
    peers: Callable[[], Sequence[Peer]],
    take: Callable[[asyncio.Transport], None],
    tasks: Tasks,
) -> DoorHolder | None:
    if config.public_door is None:
        return None

    async def open_pipe(link: Link, token: bytes) -> Pipe:
        assert isinstance(link, MeshLink)
        return await links.relaying.path.open_back(link, token)

    def certify(name: str) -> DoorCertificate:
        given = None
        if config.tls_certificate is not None and config.tls_key is not None:
            given = given_certificate(config.tls_certificate, config.tls_key, name)
        return given or own_certificate(config.data_dir, name, now_utc())

    return DoorHolder(
        choice=config.public_door,
        label=config.public_name,
        founded=is_founded(config.network),
        links=links,
        peers=peers,
        open_pipe=open_pipe,
        certify=certify,
        take=take,
        tasks=tasks,
        rng=Random(),
    )


def _source_of(link: Link) -> str:
    assert isinstance(link, MeshLink)
    return link.source
