"""A relay keeps the links of those that are reached through it, however many and however idle."""

from __future__ import annotations

import pytest

from mesh.links.relaying import RelayTerms
from tests.integration.links.peers import MakePool, eventually


async def test_reserved_links_are_not_idle_ones(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.links.trimming.MIN_IDLE_SECONDS", 0.0)
    relay = await make_pool(max_idle=1, relays=RelayTerms())
    peers = [await make_pool(listen=None) for _ in range(5)]
    for number, peer in enumerate(peers):
        link = await peer.connect(None, relay.addresses)
        if number < 3:
            await peer.relaying.path.reserve(link)
    await eventually(lambda: relay.metrics.links_closed.total() == 1)
    reserved = {peer.node_id for peer in peers[:3]}
    assert reserved < {link.peer for link in relay.all()}
    assert len(relay.all()) == 4
