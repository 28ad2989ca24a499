"""Nodes on one bridge network find each other without being told where the others are."""

from __future__ import annotations

import pytest

from tests.containers.fleet import HARDENED, Container, Fleet
from tests.containers.polling import chat, wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

OPEN = ("-e", "ELECTRONS_HTTP=0.0.0.0:7717", "-e", "ELECTRONS_ACCESS=open")
PUBLISHED = (*OPEN, "--publish", "127.0.0.1::7717")


def peers_of(node: Container) -> dict[str, list[str]]:
    """The nodes that it knows, each with its models."""
    return {peer["node_id"]: peer["models"] for peer in node.ask("peers")["peers"]}


def test_multicast_is_enough(fleet: Fleet) -> None:
    network = ("--network", fleet.network(), *HARDENED)
    gateway = fleet.run(*network, *PUBLISHED, "-e", "ELECTRONS_ENGINES=none")
    worker = fleet.run(*network, "-e", "ELECTRONS_ENGINES=demo")
    wait_for(lambda: any(peers_of(gateway).values()), what="a worker with a model")
    (worker_id,) = peers_of(gateway)
    assert worker_id == worker.ask("status")["node_id"] != gateway.ask("status")["node_id"]
    text, served_by = chat(gateway.published(7717), "Tell me a story about an owl.")
    assert text.strip()
    assert served_by == worker_id


def test_two_networks_of_nodes_on_one_bridge_do_not_mix(fleet: Fleet) -> None:
    bridge = ("--network", fleet.network(), "-e", "ELECTRONS_ENGINES=none")
    ours = [fleet.run(*bridge, "-e", "ELECTRONS_NETWORK=ours") for _ in range(2)]
    other = fleet.run(*bridge, "-e", "ELECTRONS_NETWORK=theirs")
    wait_for(lambda: peers_of(ours[0]) and peers_of(ours[1]), what="each other")
    ids = [node.ask("status")["node_id"] for node in ours]
    assert [list(peers_of(node)) for node in ours] == [[ids[1]], [ids[0]]]
    assert peers_of(other) == {}
