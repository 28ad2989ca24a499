"""A gateway on a real socket, over scripted ports; every test that uses it runs on both servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from node.gateway.accounts import LocalAccounts
from node.gateway.gateway import Gateway
from node.gateway.settings import GatewaySettings, Health, Suppliers
from node.gateway.tls_files import TlsFiles
from tests.integration.gateway.twins import (
    NODE,
    WORKER,
    FixedView,
    ScriptedDispatch,
    peer,
    served,
)


@dataclass
class Door:
    """A running gateway with everything a test may turn."""

    gateway: Gateway
    dispatch: ScriptedDispatch
    session: aiohttp.ClientSession
    health: list[Health]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    async def post(self, path: str, body: Any, **options: Any) -> aiohttp.ClientResponse:
        return await self.session.post(self.url + path, json=body, **options)

    async def get(self, path: str, **options: Any) -> aiohttp.ClientResponse:
        return await self.session.get(self.url + path, **options)


Opener = Callable[..., Awaitable[Door]]


@pytest.fixture(params=["lean", "full"])
def lean(request: pytest.FixtureRequest) -> bool:
    """Which of the two servers answers; they must not be told apart."""
    return bool(request.param == "lean")


@pytest.fixture
async def open_door(lean: bool) -> AsyncIterator[Opener]:
    """Starts gateways with chosen settings and closes them after the test."""
    doors: list[Door] = []

    async def opener(
        settings: GatewaySettings | None = None,
        accounts: LocalAccounts | None = None,
        host: str = "127.0.0.1",
        tls: TlsFiles | None = None,
        **options: Any,
    ) -> Door:
        dispatch = ScriptedDispatch()
        health = [Health(ready=True, state="joined")]
        gateway = Gateway(
            node_id=NODE,
            dispatch=dispatch,
            view=FixedView([peer(WORKER, served("story"), served("org/big:7b", context=4096))]),
            accounts=accounts or LocalAccounts(),
            suppliers=Suppliers(
                node_info=lambda: {"node_id": NODE, "in_flight": 4, "version": "0.1.0"},
                own_models=lambda: (served("demo", about="It knows nothing."),),
                health=lambda: health[0],
                aliases=lambda: {"auto": "demo", "gone": "nobody-has-it"},
                counters=lambda: {"links_open": 1.0, "offers_total": 7.0},
            ),
            settings=settings,
            lean=lean,
            **options,
        )
        await gateway.start(host, 0, tls=tls)
        door = Door(gateway, dispatch, aiohttp.ClientSession(), health)
        doors.append(door)
        return door

    yield opener
    for door in doors:
        await door.session.close()
        await door.gateway.close()


@pytest.fixture
async def door(open_door: Opener) -> Door:
    """A gateway with default settings."""
    return await open_door()
