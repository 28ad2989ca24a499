"""Two nodes dial each other over pipes of any speed: always one link, the same at both ends."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from mesh.clock import SystemClock
from mesh.errors import HandshakeError
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.ids import NodeId
from mesh.links.entrance import Entrance
from mesh.links.link import LinkOwner, MeshLink
from mesh.links.memory_pipe import MemoryPipe
from mesh.links.metrics import LinkMetrics
from mesh.links.reception import Introduction, Reception
from mesh.links.rendezvous import Rendezvous
from mesh.links.roster import Roster
from mesh.wire.frames import GoawayCode

MESH = mesh_of_network("race")
KEYS = sorted((NodeKey.generate() for _ in range(2)), key=lambda key: key.node_id)


class SlowWeather:
    """Every write takes its own time; every pipe has its own speed."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._slowest = rng.choice([0.0, 0.001, 0.004])

    def delay(self) -> float:
        return self._rng.uniform(0.0, self._slowest)

    def blocked(self, source: NodeId, target: NodeId) -> bool:
        return False


class Side:
    """The parts of a pool that decide, without sockets."""

    def __init__(self, key: NodeKey) -> None:
        self.key = key
        self.roster = Roster()
        self.metrics = LinkMetrics()
        clock = SystemClock()
        owner = LinkOwner(
            opened=lambda link: None,
            stream_opened=lambda link, stream: None,
            gone_away=lambda link, code, reason: self.roster.gone_away(link, code),
            noticed=lambda link, code, text: None,
            closed=self.roster.remove,
            released=lambda link: None,
        )
        self.entrance = Entrance(
            reception=Reception(
                key=key, mesh_id=MESH, boot=Boot(1, "a"), introduce=Introduction, clock=clock
            ),
            roster=self.roster,
            owner=owner,
            clock=clock,
            metrics=self.metrics,
            handshake_timeout=5.0,
            max_links=10,
            rendezvous=Rendezvous(),
        )

    def link(self, peer: Side) -> MeshLink | None:
        return self.roster.get(peer.key.node_id)

    @property
    def pipes(self) -> int:
        return len(list(self.roster))


async def dial(rng: Random, near: Side, far: Side) -> None:
    """One dial that starts a little later than now."""
    await asyncio.sleep(rng.uniform(0.0, 0.004))
    weather = SlowWeather(rng)
    here = MemoryPipe(weather, near.key.node_id, far.key.node_id)
    there = MemoryPipe(weather, far.key.node_id, near.key.node_id)
    here.join(there)
    far.entrance.accept(there)
    try:
        await near.entrance.dial(here, "tcp://far.memory:1", far.key.node_id)
    except HandshakeError as error:
        raise AssertionError(f"a dial failed: {error}") from error


@pytest.mark.parametrize("seed", range(60))
async def test_one_link_remains_and_both_ends_agree(seed: int) -> None:
    rng = Random(seed)
    a, b = (Side(key) for key in KEYS)
    sides = [(a, b), (b, a)] * rng.randrange(1, 4)
    await asyncio.gather(*(dial(rng, near, far) for near, far in sides))
    async with asyncio.timeout(5):
        while a.pipes != 1 or b.pipes != 1:
            await asyncio.sleep(0.002)
    near, far = a.link(b), b.link(a)
    assert near is not None
    assert far is not None
    assert (near.facts.dialler, near.facts.number) == (far.facts.dialler, far.facts.number)
    assert not near.multiplexer.sent_goaway
    assert not far.multiplexer.sent_goaway
    near.close(GoawayCode.CLOSING, "over")
    async with asyncio.timeout(5):
        while b.pipes:
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("first", [0, 1])
async def test_a_link_that_one_end_has_lost_is_replaced_at_once(first: int) -> None:
    """The dialler's end vanished without a word; the other end still holds the link."""
    rng = Random(first)
    sides = [Side(key) for key in KEYS]
    near, far = sides[first], sides[1 - first]
    await dial(rng, near, far)
    async with asyncio.timeout(5):
        while (old := far.link(near)) is None or old.confirmed_at is None:
            await asyncio.sleep(0.002)
    lost = near.link(far)
    assert lost is not None
    near.roster.remove(lost)
    for dialler, dialled in ((near, far), (far, near)):
        if dialler.link(dialled) is None:
            await dial(rng, dialler, dialled)
    new = near.link(far)
    assert new is not None
    assert new is not lost
    async with asyncio.timeout(5):
        while far.link(near) is old:
            await asyncio.sleep(0.002)
    replaced = far.link(near)
    assert replaced is not None
    assert replaced.facts == new.facts
    lost.close(GoawayCode.CLOSING, "over")
    new.close(GoawayCode.CLOSING, "over")
    async with asyncio.timeout(5):
        while far.pipes:
            await asyncio.sleep(0.002)
