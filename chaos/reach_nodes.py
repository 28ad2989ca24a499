"""Real nodes in an internet of namespaces: public ones, and private ones that nobody can dial."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp

from chaos.connect_proxy import ConnectProxy
from chaos.lab_engine import URL, LabEngine, model_of
from chaos.nat_lab import Home, LabHost, NatLab
from chaos.nat_rules import NatKind
from chaos.nodes import Node, Nodes, open_nodes

MESH_PORT, HTTP_PORT = 443, 8443
"""Of public nodes: what an office's proxy lets through."""
STARTED_AT_ONCE = 3
DEMO = ("--engine", "demo", "--demo-rate", "20")
CARRIED = frozenset({"carrier"})
"""Homes whose router is behind a carrier's router of the same kind."""
POLL_SECONDS = 0.25
MIN_RELAYS = 2


@dataclass
class Site:
    """A machine of the lab with a node on it."""

    host: LabHost
    node: Node
    session: aiohttp.ClientSession
    """Asks from the machine itself."""
    home: Home | None = None
    engine: LabEngine | None = None
    proxy: ConnectProxy | None = None

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def model(self) -> str:
        """That only this machine can serve."""
        return model_of(self.host)

    @property
    def outside(self) -> str:
        """Under which address the public sees it, one router deep."""
        return self.home.outside if self.home else self.host.address

    async def get(self, path: str) -> Any:
        """JSON that the node answers with."""
        async with self.session.get(f"{self.node.http}{path}") as answer:
            answer.raise_for_status()
            return await answer.json()

    async def peers(self) -> dict[str, dict[str, Any]]:
        """Whom the node sees, by node id."""
        return {peer["node_id"]: peer for peer in (await self.get("/api/peers"))["peers"]}

    async def metrics(self) -> dict[str, float]:
        """All figures of the node, without labels and help."""
        async with self.session.get(f"{self.node.http}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if line and not line.startswith("#")]
        return {name.removeprefix("electrons_"): float(value) for name, value in pairs}


@dataclass(frozen=True, slots=True)
class Told:
    """One streamed answer. `problem` is empty when it came in full from the right node."""

    problem: str = ""
    first_after: float = 0.0
    """Seconds until the first token."""
    longest_gap: float = 0.0
    resumed: int = 0
    text: str = ""


@dataclass
class ReachMesh:
    """All sites of one mesh."""

    lab: NatLab
    nodes: Nodes
    public: list[Site] = field(default_factory=list)
    private: list[Site] = field(default_factory=list)

    @property
    def pairs(self) -> list[tuple[Site, Site]]:
        """Who asks and who serves: every two private nodes, both ways."""
        return [(one, other) for one in self.private for other in self.private if one is not other]

    async def start(self) -> None:
        """Public nodes first; all others join through them."""
        for number, site in enumerate(self.public):
            await site.node.start([other.node for other in self.public[:number]])
        doors = [site.node for site in self.public]
        free = asyncio.Semaphore(STARTED_AT_ONCE)

        async def start(site: Site) -> None:
            async with free:
                await site.node.start(doors)

        async with asyncio.TaskGroup() as group:
            for site in self.private:
                group.create_task(start(site))

    async def until_known(self, observers: Sequence[Site], seconds: float) -> float:
        """Return when these know what all private nodes serve, with the seconds it took.

        Raises TimeoutError, naming who does not know whom.
        """
        began = time.monotonic()
        while missing := await self._unknown(observers):
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"models not known after {seconds} s: {missing}")
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - began

    async def until_relayed(self, seconds: float) -> float:
        """Return when every private node sees every other one at two relays at least, with the
        seconds that took. Raises TimeoutError, naming who sees whom at fewer."""
        began = time.monotonic()
        while few := await self._hardly_relayed():
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"not at two relays after {seconds} s: {few}")
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - began

    async def direct_pairs(self) -> list[str]:
        """Private pairs with a link between them that no relay carries."""
        relayed = {
            one.name: set((await one.get("/api/node"))["relays"]["relayed"]) for one in self.private
        }
        ids = {site.name: site.node.node_id for site in self.private}
        linked = await self.linked_pairs()
        return [f"{a} - {b}" for a, b in sorted(linked) if a < b and ids[b] not in relayed[a]]

    async def linked_pairs(self) -> set[tuple[str, str]]:
        """Private pairs with a link between them, as the first of each sees it."""
        linked = set()
        for one, other in self.pairs:
            peer = (await one.peers()).get(other.node.node_id)
            if peer is not None and peer["linked"]:
                linked.add((one.name, other.name))
        return linked

    async def _hardly_relayed(self) -> list[str]:
        seen = {site.name: await site.peers() for site in self.private}
        return [
            f"{one.name} sees {other.name}"
            for one, other in self.pairs
            if len(relay_addresses(seen[one.name].get(other.node.node_id, {}))) < MIN_RELAYS
        ]

    async def _unknown(self, observers: Sequence[Site]) -> list[str]:
        missing = []
        for one in observers:
            seen = await one.peers()
            for other in self.private:
                models = seen.get(other.node.node_id, {}).get("models", [])
                if one is not other and other.model not in models:
                    missing.append(f"{one.name} of {other.name}")
        return missing


def relay_addresses(peer: dict[str, Any]) -> list[str]:
    """Of a peer as GET /api/peers shows it."""
    return [each for each in peer.get("addresses", ()) if each.startswith("relay://")]


async def ask(
    one: Site,
    other: Site | None,
    prompt: str,
    *,
    tokens: int = 4,
    seed: int = 1,
    patience: float = 20.0,
    model: str = "demo",
) -> Told:
    """A streamed job at one machine's gateway that only the other machine can do; without another
    one it is for a model, wherever that is."""
    body = {
        "model": other.model if other else model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "seed": seed,
        "stream": True,
    }
    story = _Story(time.monotonic())
    try:
        async with (
            asyncio.timeout(patience),
            one.session.post(f"{one.node.http}/v1/chat/completions", json=body) as answer,
        ):
            if answer.status != 200:
                return Told(f"status {answer.status}: {(await answer.text())[:200]}")
            done_by = answer.headers.get("x-electrons-node", "")
            if other is not None and done_by != other.node.node_id:
                return Told(f"done by {done_by}")
            async for line in answer.content:
                story.take(line.decode().strip())
    except aiohttp.ClientError as error:
        return story.told(f"{type(error).__name__}: {error}")
    except TimeoutError:
        return story.told(f"no answer within {patience} s")
    return story.told("" if story.done else story.problem or "the stream broke off")


class _Story:
    """Lines of one stream as they come."""

    def __init__(self, began: float) -> None:
        self.done = False
        self.problem = ""
        self._times = [began]
        self._resumed = 0
        self._text = ""

    def take(self, line: str) -> None:
        self._resumed += line.startswith(": resumed")
        self.done = self.done or line == "data: [DONE]"
        if not line.startswith("data: {"):
            return
        event = json.loads(line[6:])
        if "error" in event:
            self.problem = f"error event: {event['error']}"
        text = "".join(each["delta"].get("content") or "" for each in event.get("choices", ()))
        if text:
            self._text += text
            self._times.append(time.monotonic())

    def told(self, problem: str) -> Told:
        times = self._times
        gaps = [later - earlier for earlier, later in pairwise(times[1:])]
        first = times[1] - times[0] if len(times) > 1 else 0.0
        return Told(problem, first, max(gaps, default=0.0), self._resumed, self._text)


def session_of(host: LabHost) -> aiohttp.ClientSession:
    """Its connections begin on that machine."""

    def make(address: Any) -> socket.socket:
        family, kind, protocol, _, _ = address
        with host.namespace.inside():
            way = socket.socket(family, kind, protocol)
        way.setblocking(False)
        return way

    connector = aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=make)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))


@asynccontextmanager
async def reach_mesh(
    public: int, kinds: Sequence[tuple[str, NatKind]], public_words: Sequence[str], demos: int = 0
) -> AsyncIterator[ReachMesh]:
    """A mesh that is not started: public nodes with these words, and one home of each kind.

    The first `demos` homes have the demo model as well, paced.
    """
    lab = NatLab()
    try:
        async with AsyncExitStack() as stack, open_nodes() as nodes:
            mesh = ReachMesh(lab, nodes)
            for number in range(public):
                host = lab.add_public(f"public-{number}")
                mesh_port = ("--mesh", f"{host.address}:{MESH_PORT}")
                http_port = ("--http", f"{host.address}:{HTTP_PORT}")
                words = ("--engine", "none", *mesh_port, *http_port, *public_words)
                node = _node(nodes, host, words)
                session = await stack.enter_async_context(session_of(host))
                mesh.public.append(Site(host, node, session))
            for number, (name, kind) in enumerate(kinds):
                more = DEMO if number < demos else ()
                mesh.private.append(await _private(stack, lab, nodes, name, kind, more))
            yield mesh
    finally:
        lab.close()


async def _private(
    stack: AsyncExitStack,
    lab: NatLab,
    nodes: Nodes,
    name: str,
    kind: NatKind,
    words: Sequence[str],
) -> Site:
    carrier = lab.add_carrier(f"{name}-outer", kind) if name in CARRIED else None
    home = lab.add_home(name, kind, inside=carrier)
    host = home.add_host(name)
    engine = await stack.enter_async_context(LabEngine(host))
    proxy = None
    before: tuple[str, ...] = ()
    if kind is NatKind.PROXY:
        proxy = await stack.enter_async_context(ConnectProxy(home))
        before = ("env", f"HTTPS_PROXY={proxy.url}", f"HTTP_PROXY={proxy.url}")
    node = _node(nodes, host, ("--engine", URL, *words), before)
    session = await stack.enter_async_context(session_of(host))
    return Site(host, node, session, home, engine, proxy)


def _node(
    nodes: Nodes, host: LabHost, arguments: Sequence[str], before: Sequence[str] = ()
) -> Node:
    enter = (*host.enter, *before)
    return nodes.add("--access", "open", *arguments, enter=enter, host=host.address)


def tell(words: str) -> None:
    """Progress, for people."""
    with contextlib.suppress(BrokenPipeError):
        print(words, file=sys.stderr, flush=True)
