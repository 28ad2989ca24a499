"""A mesh of daemons, some with a door, some behind one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.integration.door.visitor import visitor
from tests.integration.mesh.daemon import Daemon, Daemons, until

DOMAIN = "mesh.example"
KEY = "correct-horse-battery-staple"
WITH_KEY = {"authorization": f"Bearer {KEY}"}


class Behind:
    """A daemon with a public name."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.url = ""
        self.fingerprint = ""

    @property
    def port(self) -> int:
        """Of the door."""
        return urlsplit(self.url).port or 443

    async def facts(self) -> Any:
        """`doors.held` of its GET /api/node."""
        url = f"{self.daemon.http}/api/node"
        async with aiohttp.ClientSession(headers=WITH_KEY) as local, local.get(url) as answer:
            return (await answer.json())["doors"]["held"]

    async def open(self, *, not_at: str = "") -> Behind:
        """Wait until it has a name, of another keeper than `not_at`."""

        async def is_open() -> bool:
            facts = await self.facts()
            self.url, self.fingerprint = facts["url"], facts["fingerprint"]
            return bool(self.url) and facts["keeper"] != not_at

        await until(is_open)
        return self

    async def visit(self, path: str, *, key: bool = True, **options: Any) -> tuple[int, Any]:
        """Status and body, as somebody outside gets them."""
        async with visitor(self.fingerprint) as outside:
            headers = WITH_KEY if key else {}
            async with outside.get(self.url + path, headers=headers, **options) as answer:
                return answer.status, await answer.json(content_type=None)


class DoorMesh:
    """Starts both kinds."""

    def __init__(self, daemons: Daemons) -> None:
        self.daemons = daemons

    async def keeper(self, *arguments: str, join: Daemon | None = None) -> Daemon:
        return await self.daemons.start(
            *("--engine", "none", "--door-domain", DOMAIN),
            *(() if "--door" in arguments else ("--door", "127.0.0.1:0")),
            *arguments,
            join=join,
        )

    async def behind(
        self, keeper: Daemon, *arguments: str, join: Daemon | None = None, access: str = "keys"
    ) -> Behind:
        """A node that can only dial, and has asked `keeper` for a name."""
        daemon = await self.daemons.start(
            *("--access", access, "--public-door", keeper.node_id),
            *arguments,
            join=join or keeper,
            env={"ELECTRONS_API_KEYS": KEY},
        )
        return Behind(daemon)


async def kept(keeper: Daemon) -> Any:
    """`doors.kept` of its GET /api/node."""
    return (await keeper.get("/api/node"))["doors"]["kept"]
