"""From a pasted ticket to the first job served, behind routers: `python -m chaos.first_job`.

A founded mesh with one public node, which coordinates, relays and is the clients' gateway. For each
kind of home a volunteer pastes a ticket into `electrons join` on a prepared machine; the clock runs
from there until a job that was asked at the public gateway has been done by the volunteer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from chaos.connect_proxy import ConnectProxy
from chaos.lab_engine import CANARY, URL, LabEngine, model_of
from chaos.nat_lab import LabHost, NatLab
from chaos.nat_rules import NatKind
from chaos.network_lab import enter
from chaos.nodes import ELECTRONS, Node, Nodes, open_nodes
from chaos.reach_nodes import HTTP_PORT, MESH_PORT, Site, ask, session_of, tell

TARGET: Final = 30.0
"""Seconds from the pasted ticket to the first job served."""
PATIENCE: Final = 90.0
HOMES: Final = {
    "cone": NatKind.CONE,
    "symmetric": NatKind.SYMMETRIC,
    "noudp": NatKind.NOUDP,
    "office": NatKind.PROXY,
}


class Volunteer:
    """A machine at a home that joins by one pasted line."""

    def __init__(self, host: LabHost, folder: Path, before: Sequence[str]) -> None:
        self.host = host
        self._data = folder / host.name
        self._log = folder / f"log-{host.name}.txt"
        self._before = (*host.enter, *before)
        self._process: subprocess.Popen[bytes] | None = None

    def join(self, ticket: str) -> None:
        """What the person does."""
        words = ("join", ticket, "--no-mdns", "--engine", URL, "--data-dir", str(self._data))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (*self._before, str(ELECTRONS), *words), stdout=log, stderr=log
            )

    @property
    def ended(self) -> str:
        """Its last words if it ended by itself; "" while it runs."""
        if self._process is None or self._process.poll() is None:
            return ""
        return self._log.read_text()[-500:] or "it ended without a word"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def electrons(*words: str) -> Any:
    """A command that prints JSON. Raises CalledProcessError."""
    done = subprocess.run(
        [str(ELECTRONS), *words, "--json"], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def found_mesh(node: Node, folder: Path) -> str:
    """Make a mesh whose founder may coordinate and relay; its id."""
    root = str(folder / "root")
    mesh_id = str(electrons("mesh", "create", root)["mesh_id"])
    roles = ("--role", "coordinator", "--role", "relay")
    electrons("mesh", "grant", root, "--data-dir", str(node.data), *roles)
    return mesh_id


async def invite(founder: Site) -> str:
    """A ticket for one worker, as soon as the founder's group can make one."""
    info = json.loads((founder.node.data / "run.json").read_text())
    headers = {"Authorization": f"Bearer {info['token']}"}
    async with asyncio.timeout(PATIENCE):
        while True:
            async with founder.session.post(
                f"{founder.node.http}/api/invites", json={}, headers=headers
            ) as answer:
                if answer.status == 200:
                    return str((await answer.json())["ticket"])
            await asyncio.sleep(0.2)


async def time_first_job(founder: Site, volunteer: Volunteer, ticket: str) -> float:
    """Seconds from the pasted ticket; raises TimeoutError or RuntimeError with what was said."""
    began = time.monotonic()
    volunteer.join(ticket)
    problem = "not asked"
    while time.monotonic() - began < PATIENCE:
        if volunteer.ended:
            raise RuntimeError(f"{volunteer.host.name} did not join: {volunteer.ended}")
        told = await ask(founder, None, "hello", model=model_of(volunteer.host))
        if not told.problem and CANARY in told.text:
            return time.monotonic() - began
        problem = told.problem
        await asyncio.sleep(0.2)
    raise TimeoutError(f"{volunteer.host.name}: {problem}")


async def start_founder(stack: AsyncExitStack, lab: NatLab, nodes: Nodes) -> Site:
    """The public node, up."""
    host = lab.add_public("founder")
    node = nodes.add(enter=host.enter, host=host.address)
    mesh_id = found_mesh(node, nodes.folder)
    ports = ("--mesh", f"{host.address}:{MESH_PORT}", "--http", f"{host.address}:{HTTP_PORT}")
    roles = ("--roles", "gateway,relay,coordinator", "--engine", "none")
    node.arguments = ("--network", mesh_id, "--access", "open", *roles, *ports)
    await node.start()
    return Site(host, node, await stack.enter_async_context(session_of(host)))


async def add_volunteer(
    stack: AsyncExitStack, lab: NatLab, folder: Path, name: str, kind: NatKind
) -> Volunteer:
    """A prepared machine with an engine, in a home of its own."""
    home = lab.add_home(name, kind)
    host = home.add_host(name)
    await stack.enter_async_context(LabEngine(host))
    before: tuple[str, ...] = ()
    if kind is NatKind.PROXY:
        proxy = await stack.enter_async_context(ConnectProxy(home))
        before = ("env", f"HTTPS_PROXY={proxy.url}")
    volunteer = Volunteer(host, folder, before)
    stack.callback(volunteer.stop)
    return volunteer


async def run(homes: Sequence[str]) -> dict[str, Any]:
    """One home after the other, in one mesh; seconds, and what went wrong."""
    lab = NatLab()
    took: dict[str, float] = {}
    failures: list[str] = []
    try:
        async with AsyncExitStack() as stack, open_nodes() as nodes:
            founder = await start_founder(stack, lab, nodes)
            for name in homes:
                volunteer = await add_volunteer(stack, lab, nodes.folder, name, HOMES[name])
                try:
                    ticket = await invite(founder)
                    took[name] = round(await time_first_job(founder, volunteer, ticket), 2)
                    tell(f"{name}: first job {took[name]} s after the ticket was pasted")
                except (RuntimeError, TimeoutError) as error:
                    failures.append(str(error))
        return {"seconds_to_first_job": took, "failures": failures}
    finally:
        lab.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--homes", default=",".join(HOMES), help="of " + ", ".join(HOMES))
    enter("chaos.first_job", sys.argv[1:], routers=True)
    report = asyncio.run(run(parser.parse_args().homes.split(",")))
    print(json.dumps(report, indent=1))
    late = [name for name, took in report["seconds_to_first_job"].items() if took > TARGET]
    return 1 if late or report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
