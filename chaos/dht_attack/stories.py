"""Which attacks there are, and what each must leave working."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chaos.dht_attack.adversary import DECOYS, Strategy
from chaos.dht_attack.world import HonestNode, World, signed_offering
from chaos.virtual_time import run_virtual
from dht.defences import OPEN, Defences
from mesh.ids import NodeId
from mesh.wire.dht_records import table_key

CLUSTER_BITS = 16
"""Leading bits that identities around a key share with it: nearer than any of 500 honest nodes."""
AT_ONCE = 8
"""Look-ups under way at one time."""


@dataclass(frozen=True, slots=True)
class Attack:
    """How many hostile identities there are, where, and what they do."""

    name: str
    share: float
    """Of all nodes."""
    strategy: Strategy
    least: float
    """Share of look-ups that must succeed."""
    around_key: bool = False
    networks: int = 0
    """How many /24s of one /16 they share; 0: each has a network of its own (a botnet)."""


ATTACKS = (
    Attack("random 20 %, silent", 0.2, "silent", 0.99),
    Attack("random 20 %, colluding", 0.2, "colluding", 0.99),
    Attack("random 20 %, phantoms", 0.2, "phantoms", 0.99),
    Attack("random 20 %, decoys", 0.2, "decoys", 0.99),
    Attack("random 20 %, stale", 0.2, "stale", 0.99),
    Attack("random 20 %, forged", 0.2, "forged", 0.99),
    Attack("random 40 %, silent", 0.4, "silent", 0.95),
    Attack("random 40 %, colluding", 0.4, "colluding", 0.95),
    Attack("random 40 %, phantoms", 0.4, "phantoms", 0.95),
    Attack("random 40 %, decoys", 0.4, "decoys", 0.95),
    Attack("random 40 %, stale", 0.4, "stale", 0.95),
    Attack("random 40 %, forged", 0.4, "forged", 0.95),
    Attack("20 % around the key from one provider", 0.2, "colluding", 0.99, True, 4),
    Attack("20 % around the key, a botnet", 0.2, "colluding", 0.99, True),
    Attack("20 % around the key, a botnet with decoys", 0.2, "decoys", 0.99, True),
    Attack("40 % around the key, a botnet", 0.4, "colluding", 0.95, True),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large an experiment is."""

    nodes: int = 500
    providers: int = 40
    askers: int = 60
    lookups: int = 200
    """At most as many as there are pairs."""


def run(attack: Attack, size: Size, defences: Defences = OPEN, *, seed: int = 1) -> dict[str, Any]:
    """Play one attack from the filling of the tables to the last look-up; in virtual time."""
    return run_virtual(_play(attack, size, defences, seed))


async def _play(attack: Attack, size: Size, defences: Defences, seed: int) -> dict[str, Any]:
    hostile = round(size.nodes * attack.share)
    world = World(
        honest=size.nodes - hostile, defences=defences, strategy=attack.strategy, seed=seed
    )
    try:
        providers = world.nodes[: 1 if attack.around_key else size.providers]
        _join(world, attack, hostile, providers[0])
        _arm(world, providers)
        askers = world.nodes[len(providers) : len(providers) + size.askers]
        world.fill_tables()
        await world.settle([*providers, *askers])
        await world.publish(providers)
        before = sum(node.table.counters.rpcs for node in askers)
        found = await _look_up(world, providers, askers, size.lookups)
        requests = sum(node.table.counters.rpcs for node in askers) - before
        return {
            "attack": attack.name,
            "lookups": len(found),
            "succeeded_percent": round(100 * sum(found) / len(found), 2),
            "target_percent": 100 * attack.least,
            "most_hostile_of_a_24_in_a_bucket": world.most_hostile_in_a_bucket(),
            "hostile_answers": world.adversary.asked,
            "requests_each": round(requests / len(found), 2),
        }
    finally:
        await world.close()


def _join(world: World, attack: Attack, hostile: int, provider: HonestNode) -> None:
    """Hostile identities: anywhere, or next to the key of what the provider serves."""
    key = int.from_bytes(table_key("model", f"model of {provider.id}"), "big")
    for number in range(hostile):
        node = world.rng.getrandbits(160)
        if attack.around_key:
            node = key ^ world.rng.getrandbits(160 - CLUSTER_BITS)
        prefix = f"45.83.{number % attack.networks}." if attack.networks else ""
        world.adversary.join(NodeId(f"{node:040x}"), prefix)


def _arm(world: World, providers: Sequence[HonestNode]) -> None:
    """Give the adversary what it shows: old words of providers, own offers, misplaced records."""
    liars = [world.new_key() for _ in range(DECOYS)]
    moved = "tcp://9.9.9.9:4001"
    adversary = world.adversary
    adversary.foreign = [signed_offering(each, moved, "another", 1) for each in liars]
    for node in providers:
        model = f"model of {node.id}"
        key = table_key("model", model)
        adversary.stale[key] = [signed_offering(node.key, moved, model, 1)]
        if adversary.strategy == "decoys":
            adversary.decoys[key] = [signed_offering(each, moved, model, 1) for each in liars]


async def _look_up(
    world: World, providers: Sequence[HonestNode], askers: Sequence[HonestNode], lookups: int
) -> list[bool]:
    """From random askers for random providers, each pair once."""
    pairs = [(asker, provider) for asker in askers for provider in providers]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(asker: HonestNode, provider: HonestNode) -> bool:
        async with slots:
            return await world.look_up(asker, provider)

    chosen = world.rng.sample(pairs, min(lookups, len(pairs)))
    return list(await asyncio.gather(*(one(*each) for each in chosen)))
