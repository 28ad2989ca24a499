"""Pools on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.links.pool import LinkPool
from tests.integration.links.peers import MESH, DialRaw, MakePool, RawPeer, dial_raw


@pytest.fixture
async def make_pool() -> AsyncIterator[MakePool]:
    """Started pools that are closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**changes: Any) -> LinkPool:
            options: dict[str, Any] = {
                "key": NodeKey.generate(),
                "mesh_id": MESH,
                "boot": Boot(1, "0123456789abcdef"),
                "listen": ("127.0.0.1", 0),
                **changes,
            }
            pool = LinkPool(**options)
            await pool.start()
            stack.push_async_callback(pool.close)
            return pool

        yield make


@pytest.fixture
async def raw_peer() -> AsyncIterator[DialRaw]:
    """Peers that speak frames by hand; their pipes are ended after the test."""
    peers: list[RawPeer] = []

    async def dial(pool: LinkPool, key: NodeKey | None = None, **changes: Any) -> RawPeer:
        peers.append(await dial_raw(pool, key, **changes))
        return peers[-1]

    yield dial
    for peer in peers:
        peer.greeted.pipe.abort()
        await peer.lost.wait()
