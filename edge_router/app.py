"""The HTTP face of an edge router: announce, seeds, health. It keeps nothing on disk."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random
from typing import Protocol

from aiohttp import web

from edge_router.rates import Rates
from edge_router.reach import dialable_from
from edge_router.registry import Announced, Full, Registry
from mesh.clock import Clock
from mesh.errors import ElectronsError, RecordRejected, WireError
from mesh.ids import MeshId, NodeId, parse_node_id
from mesh.links.hosts import plain_host
from mesh.links.pipe import Address
from mesh.wire.edge import Seed, encode_seeds
from mesh.wire.records import MAX_NODE_RECORD, SignedNode, open_node

log = logging.getLogger(__name__)

ANNOUNCE_RATE = 0.2
ANNOUNCE_BURST = 80.0
SEEDS_RATE = 2.0
SEEDS_BURST = 120.0
"""Calls a second, and at once, of one source address."""
MAX_PROBES = 32
"""Nodes dialled at one time; announcements beyond are asked to come again."""
BODY_TIMEOUT = 5.0
"""Seconds for the few kilobytes of an announcement to arrive."""
BUSY_RETRY = 5
"""Seconds after which to come again when MAX_PROBES are being dialled."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Reacher(Protocol):
    """Dials a node; `edge_router.probe.Prober`."""

    async def reach(self, node: NodeId, address: Address) -> None: ...


class EdgeRoutes:
    """Handlers over a registry. `trusted_proxies`: whose X-Forwarded-For is believed."""

    def __init__(
        self,
        *,
        registry: Registry,
        reacher: Reacher,
        clock: Clock,
        rng: Random,
        trusted_proxies: Collection[str] = (),
    ) -> None:
        self._registry = registry
        self._reacher = reacher
        self._clock = clock
        self._rng = rng
        self._trusted = frozenset(trusted_proxies)
        self._announce_rates = Rates(rate=ANNOUNCE_RATE, burst=ANNOUNCE_BURST)
        self._seeds_rates = Rates(rate=SEEDS_RATE, burst=SEEDS_BURST)
        self._probing = 0

    async def announce(self, request: web.Request) -> web.Response:
        """Take a signed record, dial its node, and know it from then on."""
        source = self._source(request)
        if (wait := self._announce_rates.wait(source, self._clock.now())) > 0:
            return _busy(429, "too many announcements from your address", wait)
        mesh = _mesh(request)
        signed = self._open(mesh, await _body(request))
        record = signed.record
        if record.state == "gone" or self._registry.is_replay(mesh, record.node_id, record.seq):
            return _refuse(409, "a newer record of this node is known")
        try:
            self._registry.check_room(mesh, record.node_id, source)
        except Full as error:
            return _busy(503, str(error), 600)
        if self._probing >= MAX_PROBES:
            return _busy(503, "many nodes are being probed now", BUSY_RETRY)
        return await self._admit(mesh, signed, source)

    async def seeds(self, request: web.Request) -> web.Response:
        """Answer with nodes to dial."""
        source = self._source(request)
        if (wait := self._seeds_rates.wait(source, self._clock.now())) > 0:
            return _busy(429, "too many questions from your address", wait)
        try:
            asker = parse_node_id(request.query.get("node", ""))
        except ValueError as error:
            raise _bad(f"node: {error}") from None
        found = self._registry.seeds(_mesh(request), asker, self._rng)
        return web.Response(body=encode_seeds(found), content_type="application/json")

    async def health(self, request: web.Request) -> web.Response:
        """Say that this works, and how much it knows."""
        known = {"nodes": len(self._registry), "meshes": self._registry.meshes}
        return web.json_response({"status": "ok", **known})

    async def probe_all(self) -> None:
        """Dial whoever is due, and forget who is gone. Called now and then."""
        now = self._clock.now()
        self._registry.expire(now)
        due = self._registry.due(now)
        for start in range(0, len(due), MAX_PROBES):
            await asyncio.gather(*map(self._probe, due[start : start + MAX_PROBES]))

    async def _probe(self, known: Announced) -> None:
        node = known.seed.node
        reached, _ = await self._reach(node, known.source, known.seed.addresses)
        self._registry.probed(known.mesh, node, bool(reached), self._clock.now())

    async def _admit(self, mesh: MeshId, signed: SignedNode, source: str) -> web.Response:
        record = signed.record
        self._probing += 1
        try:
            reached, reason = await self._reach(record.node_id, source, record.addresses)
        finally:
            self._probing -= 1
        if not reached:
            return _refuse(422, f"this edge router cannot reach you: {reason}")
        seed = Seed(record.node_id, tuple(str(address) for address in reached))
        try:
            self._registry.put(mesh, seed, record.seq, source, self._clock.now())
        except Full as error:
            return _busy(503, str(error), 600)
        return web.json_response({"reached": list(seed.addresses)})

    async def _reach(
        self, node: NodeId, source: str, urls: Sequence[str]
    ) -> tuple[list[Address], str]:
        """The addresses that answered as the node, and why the others did not."""
        reached: list[Address] = []
        reasons: list[str] = []
        for address in dialable_from(source, urls):
            try:
                await self._reacher.reach(node, address)
                reached.append(address)
            except ElectronsError as error:
                reasons.append(str(error))
        nothing = f"none of its addresses leads to {source}, where the announcement came from"
        return reached, "; ".join(reasons) or nothing

    def _open(self, mesh: MeshId, body: bytes) -> SignedNode:
        try:
            return open_node(body, mesh, self._clock.wall())
        except (WireError, RecordRejected) as error:
            raise _bad(str(error)) from None

    def _source(self, request: web.Request) -> str:
        """Where a call comes from; what a trusted proxy says, if it came through one."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        source = plain_host(str(peer[0])) if isinstance(peer, tuple) else "0.0.0.0"
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if source in self._trusted and forwarded:
            try:
                return plain_host(forwarded)
            except ValueError:
                return source
        return source


def build_app(routes: EdgeRoutes) -> web.Application:
    """An application that serves the routes."""
    app = web.Application(client_max_size=MAX_NODE_RECORD, middlewares=[_plain_errors])
    app.router.add_post("/announce", routes.announce)
    app.router.add_get("/seeds", routes.seeds)
    app.router.add_get("/health", routes.health)
    return app


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the announcement came too slowly") from None


def _mesh(request: web.Request) -> MeshId:
    try:
        return MeshId(parse_node_id(request.query.get("mesh", "")))
    except ValueError:
        raise _bad("mesh: a mesh id is 40 lower-case hex digits") from None


def _bad(reason: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=reason)


def _refuse(status: int, reason: str) -> web.Response:
    return web.Response(status=status, text=reason)


def _busy(status: int, reason: str, wait: float) -> web.Response:
    return web.Response(status=status, text=reason, headers={"Retry-After": str(math.ceil(wait))})


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nothing internal leaks: a bug is logged here and told as one sentence."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:  # whatever went wrong, the caller gets an answer
        log.exception("request failed path=%s", request.path)
        return web.Response(status=500, text="the edge router failed at this request")
