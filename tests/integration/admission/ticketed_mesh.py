"""A mesh that everybody but the founder joins by ticket, with the commands that people use."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.mesh.daemon import ELECTRONS, START_SECONDS, Daemon, Daemons, until

COMMAND_SECONDS = 30.0
LOOPBACK = ("--no-mdns", "--http", "127.0.0.1:0", "--mesh", "127.0.0.1:0")


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended by itself."""

    code: int
    out: str
    err: str


async def electrons(*arguments: str) -> Ended:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(ELECTRONS, *arguments, stdout=PIPE, stderr=PIPE)
    try:
        out, err = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"electrons {arguments[0]} did not end") from None
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


class TicketedMesh:
    """One coordinator, the founder, and whoever joins."""

    def __init__(self, folder: Path, daemons: Daemons) -> None:
        self.folder = folder
        self.daemons = daemons
        self.mesh_id = ""
        self.founder: Daemon | None = None

    @property
    def host(self) -> Path:
        """The founder's data folder."""
        return self.folder / "founder"

    async def found(self, *arguments: str) -> Daemon:
        """Make the mesh, and start its first coordinator."""
        root = str(self.folder / "root")
        self.mesh_id = json.loads((await electrons("mesh", "create", root, "--json")).out)[
            "mesh_id"
        ]
        granted = await electrons("mesh", "grant", root, "--data-dir", str(self.host))
        assert granted.code == 0, granted.err
        self.founder = await self.daemons.start(
            *("--network", self.mesh_id, "--engine", "none", "--data-dir", str(self.host)),
            *arguments,
        )
        await until(self._ready)
        return self.founder

    async def invite(self, **wanted: Any) -> str:
        """A ticket from the founder."""
        return str((await self.api("POST", "/api/invites", wanted))["ticket"])

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the founder as its administrator; the commands do the same."""
        info = json.loads((self.host / "run.json").read_text())
        headers = {"Authorization": f"Bearer {info['token']}"}
        url = info["url"] + path
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=body, headers=headers) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def join(self, ticket: str, name: str, *arguments: str) -> Daemon:
        """A daemon that `electrons join` became."""
        data, log = self.folder / name, self.folder / f"log-{name}.txt"
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(ELECTRONS, "join", ticket, "--json", "--data-dir", str(data), *LOOPBACK),
                *arguments,
                stdout=PIPE,
                stderr=stderr,
            )
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        if not line:
            raise AssertionError(f"the node did not join:\n{log.read_text()}")
        daemon = Daemon(process, json.loads(line), log)
        self.daemons._running.append(daemon)
        return daemon

    async def members(self) -> dict[str, Any]:
        """By node id."""
        found = (await self.api("GET", "/api/members"))["members"]
        return {member["node_id"]: member for member in found}

    async def trail(self) -> list[str]:
        """What happened, the oldest first."""
        rows = (await self.api("GET", "/api/audit"))["rows"]
        return [row["what"] for row in reversed(rows)]

    async def _ready(self) -> bool:
        """The group has a leader and has raised its state's level."""
        try:
            await self.members()
        except AssertionError:
            return False
        return True
