"""A node that nobody reaches gets a port from its router, and gives it back."""

from __future__ import annotations

import asyncio

from node.port_mapping import TAKEN, PortMapping, RouterError
from tests.integration.reach.conftest import AskingNode, StartNode, until

HIDDEN = "127.0.0.2"


class ForwardingRouter:
    """Its outside address is 127.0.0.1, where peers see the node: connections there are carried to
    the node's own host."""

    def __init__(self, inside: str, *taken: int) -> None:
        self.inside = inside
        self.taken = frozenset(taken)
        self.forwarded: dict[int, asyncio.Server] = {}
        self._carrying: set[asyncio.Task[None]] = set()

    async def open(self, port: int, outer: int, lease: float) -> None:
        if outer in self.taken:
            raise RouterError("taken", TAKEN)
        if not lease:
            raise RouterError("for some time only")

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            back, there = await asyncio.open_connection(self.inside, port)
            await asyncio.gather(_copy(reader, there), _copy(back, writer))

        self.forwarded[outer] = await asyncio.start_server(carry, "127.0.0.1", outer)

    async def close(self, outer: int) -> None:
        self.forwarded.pop(outer).close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


async def start_private(start_node: StartNode) -> AskingNode:
    """A node that three peers do not reach; 127.0.0.1 is not one of its addresses."""
    peers = [await start_node() for _ in range(3)]
    hidden = await start_node(HIDDEN, interfaces=lambda: ())
    await hidden.join(*peers)
    await until(lambda: hidden.reach.state == "private")
    return hidden


async def test_a_private_node_gets_a_port_and_gives_it_back(start_node: StartNode) -> None:
    node = await start_private(start_node)
    router = ForwardingRouter(HIDDEN, node.links.port)
    mapping = PortMapping(
        reach=node.reach,
        router=router,
        port=lambda: node.links.port,
        tasks=node.tasks,
    )
    mapping.start()
    await until(lambda: node.reach.state == "mapped")
    assert mapping.outer not in (0, node.links.port), "the node's own number was taken"
    assert node.reach.outside_addresses == (f"tcp://127.0.0.1:{mapping.outer}",)
    await node.tasks.close()
    await mapping.close()
    assert not router.forwarded
