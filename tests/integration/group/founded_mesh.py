"""A mesh with a root key and granted coordinators, by the commands that people use."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.integration.mesh.daemon import ELECTRONS, Daemon, Daemons, until

COMMAND_SECONDS = 20.0


async def electrons(*arguments: str) -> Any:
    """What a command printed as JSON."""
    process = await asyncio.create_subprocess_exec(
        ELECTRONS, *arguments, "--json", stdout=PIPE, stderr=PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


class GrantedNode:
    """A data folder with a grant; its daemon may be killed and started again on the same port."""

    def __init__(self, folder: Path, mesh_id: str, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.mesh_id = mesh_id
        self.node_id: str = facts["node_id"]
        self.founder: bool = facts["founder"]
        self.daemon: Daemon | None = None
        self.address = "127.0.0.1:0"

    @property
    def running(self) -> Daemon:
        assert self.daemon is not None
        return self.daemon

    async def start(self, daemons: Daemons, join: GrantedNode | None = None) -> None:
        self.daemon = await daemons.start(
            *("--network", self.mesh_id, "--engine", "none", "--data-dir", str(self.folder)),
            *("--mesh", self.address),
            join=None if join is None else join.running,
        )
        self.address = self.daemon.mesh

    async def kill(self) -> None:
        await self.running.kill()

    async def command(self, *arguments: str) -> Any:
        return await electrons(*arguments, "--data-dir", str(self.folder))

    async def coordinators(self) -> dict[str, Any]:
        """GET /api/coordinators."""
        answer: dict[str, Any] = await self.running.get("/api/coordinators")
        return answer

    async def services(self) -> set[str]:
        """Names of the declared services, as a majority has them; empty when nobody can tell."""
        answer = await self.running.get("/api/services")
        return {each["name"] for each in answer.get("services", [])}

    async def remembers_peers(self) -> bool:
        """Whether it would find its mesh again after a restart, without being told."""
        return (self.folder / "peers.json").exists()

    async def serves(self) -> bool:
        return bool((await self.running.get("/api/node"))["models"])


class FoundedMesh:
    """Makes nodes of one mesh."""

    def __init__(self, folder: Path, daemons: Daemons) -> None:
        self.folder = folder
        self.daemons = daemons
        self.nodes: list[GrantedNode] = []
        self.mesh_id = ""

    async def grant(self) -> GrantedNode:
        """A data folder that the holder of the root key made a coordinator's."""
        root = str(self.folder / "root")
        if not self.mesh_id:
            self.mesh_id = (await electrons("mesh", "create", root))["mesh_id"]
        data = self.folder / f"data-{len(self.nodes)}"
        facts = await electrons("mesh", "grant", root, "--data-dir", str(data))
        node = GrantedNode(data, self.mesh_id, facts)
        self.nodes.append(node)
        return node

    async def start(self, count: int) -> list[GrantedNode]:
        """Coordinators that joined the first of them."""
        nodes = [await self.grant() for _ in range(count)]
        assert [node.founder for node in nodes] == [True] + [False] * (count - 1)
        await nodes[0].start(self.daemons)
        await asyncio.gather(*(node.start(self.daemons, nodes[0]) for node in nodes[1:]))
        await self.settled(nodes, count)
        return nodes

    async def settled(self, nodes: Iterable[GrantedNode], voters: int) -> GrantedNode:
        """Wait until all tell of one leader and so many voters; the leader."""
        nodes = list(nodes)

        async def agreed() -> str | None:
            answers = [await node.coordinators() for node in nodes]
            leaders = {answer["leader"] for answer in answers}
            counts = {sum(m["part"] == "voter" for m in a["members"]) for a in answers}
            known = leaders <= {node.node_id for node in nodes}
            return leaders.pop() if known and len(leaders) == 1 and counts == {voters} else None

        leader = await until(agreed, 30.0)
        return next(node for node in nodes if node.node_id == leader)
