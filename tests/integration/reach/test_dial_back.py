"""What a node dials for others, and what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dht.dial_back import (
    ASK_BURST,
    KNOCK_TIMEOUT,
    LEAST_PORT,
    MAX_KNOCKS,
    choose_targets,
)
from mesh.ports import StreamKind
from mesh.wire.reach import ReachMe, Seen, decode_seen, encode_reach_me
from tests.integration.reach.conftest import AskingNode, StartNode, until

OBSERVED = "203.0.113.5"


@asynccontextmanager
async def listener(host: str) -> AsyncIterator[tuple[int, list[object]]]:
    """A port that keeps whoever comes and says nothing: (port, connections)."""
    came: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: came.append(writer), host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], came  # type: ignore[misc]
    for writer in came:
        writer.close()


async def ask(asker: AskingNode, peer: AskingNode, request: ReachMe) -> Seen:
    link = await asker.links.connect(peer.id, peer.links.addresses)
    return decode_seen(await link.call(StreamKind.REACH, encode_reach_me(request), timeout=10.0))


def test_only_the_place_the_link_comes_from_is_dialled() -> None:
    urls = (
        "tcp://10.0.0.1:7718",
        "tcp://node.example.org:7718",
        f"tcp://{OBSERVED}:7000",
        f"tcp://[::ffff:{OBSERVED}]:7001",
        f"ws://{OBSERVED}:7002/mesh",
        f"relay://{OBSERVED}:7003/{'ab' * 20}/{'cd' * 20}",
        "nonsense",
    )
    targets = [each.port for each in choose_targets(OBSERVED, ReachMe(7718, urls))]
    assert targets == [7718, 7000, 7001]


@pytest.mark.parametrize(("port", "dialled"), [(22, False), (25, False), (443, True), (80, True)])
def test_ports_of_other_services_are_left_alone(port: int, dialled: bool) -> None:
    assert bool(choose_targets(OBSERVED, ReachMe(port))) is dialled
    assert port < LEAST_PORT


def test_few_addresses_are_dialled_for_one_request() -> None:
    urls = tuple(f"tcp://{OBSERVED}:{port}" for port in range(7000, 7016))
    assert len(choose_targets(OBSERVED, ReachMe(7718, urls))) == MAX_KNOCKS


async def test_nobody_else_is_knocked_at(start_node: StartNode) -> None:
    asker, peer = await start_node(), await start_node()
    async with listener("127.0.0.9") as (port, came):
        seen = await ask(asker, peer, ReachMe(0, (f"tcp://127.0.0.9:{port}",)))
        assert seen == Seen("127.0.0.1", ())
        assert not came


async def test_another_node_at_the_asked_place_is_no_success(start_node: StartNode) -> None:
    asker, peer, other = await start_node(), await start_node(), await start_node()
    seen = await ask(asker, peer, ReachMe(other.links.port, asker.links.addresses))
    assert dict(seen.outcomes) == {
        other.links.addresses[0]: "refused",
        asker.links.addresses[0]: "reached",
    }


async def test_a_port_that_says_nothing_is_silent_and_nothing_is_asked_twice_at_a_time(
    start_node: StartNode,
) -> None:
    asker, peer = await start_node(), await start_node()
    async with listener("127.0.0.1") as (port, came), asyncio.timeout(KNOCK_TIMEOUT + 5):
        first = asyncio.ensure_future(ask(asker, peer, ReachMe(port)))
        await until(lambda: came)
        assert await ask(asker, peer, ReachMe(port)) == Seen("127.0.0.1")
        assert dict((await first).outcomes) == {f"tcp://127.0.0.1:{port}": "silent"}
        assert len(came) == 1


async def test_one_source_may_ask_so_often(start_node: StartNode) -> None:
    asker, peer = await start_node(), await start_node()
    request = ReachMe(asker.links.port)
    answers = [await ask(asker, peer, request) for _ in range(int(ASK_BURST) + 2)]
    assert len([each for each in answers if each.outcomes]) in (ASK_BURST, ASK_BURST - 1)
    assert answers[-1] == Seen("127.0.0.1")
    assert peer.dial_back.counters.turned_away >= 2
