"""Opens pipes to addresses: directly, or by a proxy where there is one."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from aiohttp import BaseConnector, ClientSession

from mesh.errors import DialError
from mesh.lifecycle import Tasks
from mesh.links.pipe import Address, Pipe
from mesh.links.proxy import Proxy, ProxyRoutes, open_tunnel
from mesh.links.tcp import TcpPipe, dial_tcp
from mesh.links.websocket import client_session, dial_websocket

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.tracing import Trace

DIRECT_FIRST = 1.0
"""Seconds a direct connection gets before the proxy is asked as well: many firewalls drop what
they do not allow, and say nothing."""

MAX_BEYOND = 256
"""Addresses remembered to which only the proxy led the last time; there it is asked at once."""


class Outbound:
    """What a pool dials with. HTTP sessions are made at first use, one per proxy."""

    def __init__(self, tasks: Tasks, routes: ProxyRoutes) -> None:
        self._tasks = tasks
        self._routes = routes
        self._sessions: dict[Proxy | None, ClientSession] = {}
        self._beyond: OrderedDict[Address, None] = OrderedDict()

    async def dial(self, address: Address) -> Pipe:
        """A pipe to a tcp, ws or wss address. Raises DialError."""
        proxy = self._routes.proxy_for(address)
        if address.scheme != "tcp":
            return await dial_websocket(address, self._session(proxy), self._tasks)
        if proxy is None:
            return await dial_tcp(address)
        return await self._dial_both_ways(address, proxy)

    async def close(self) -> None:
        """Release the HTTP sessions; pipes are their owners' to close."""
        for session in self._sessions.values():
            await session.close()

    def _session(self, proxy: Proxy | None) -> ClientSession:
        session = self._sessions.get(proxy)
        if session is None:
            session = client_session(connector_by(proxy))
            self._sessions[proxy] = session
        return session

    async def _dial_both_ways(self, address: Address, proxy: Proxy) -> Pipe:
        """Directly; when that fails or takes long, by the proxy too. The first pipe wins."""
        direct = self._tasks.spawn(_outcome(dial_tcp(address)), "dial directly")
        dials = {direct}
        failures: list[str] = []
        asked = False
        try:
            while dials:
                patience = None if asked else self._patience(address)
                await asyncio.wait(dials, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for dial in [dial for dial in dials if dial.done()]:
                    dials.discard(dial)
                    if not isinstance(outcome := dial.result(), DialError):
                        self._note(address, direct=dial is direct)
                        return outcome
                    failures.append(str(outcome))
                if not asked:
                    asked = True
                    tunnelled = _dial_by_proxy(proxy, address)
                    dials.add(self._tasks.spawn(_outcome(tunnelled), "dial by the proxy"))
            raise DialError("; ".join(failures))
        finally:
            for dial in dials:
                dial.add_done_callback(_close_unused)
                dial.cancel()

    def _patience(self, address: Address) -> float:
        return 0.0 if address in self._beyond else DIRECT_FIRST

    def _note(self, address: Address, *, direct: bool) -> None:
        """Remember where only the proxy leads: a relay is dialled once for every circuit."""
        self._beyond.pop(address, None)
        if not direct:
            self._beyond[address] = None
        while len(self._beyond) > MAX_BEYOND:
            self._beyond.popitem(last=False)


def connector_by(proxy: Proxy | None) -> BaseConnector | None:
    """What an HTTP session connects with; None stands for aiohttp's own way."""
    return None if proxy is None else _TunnelConnector(proxy)


class _TunnelConnector(BaseConnector):
    """Connections of an aiohttp session by CONNECT, whatever the scheme."""

    allowed_protocol_schema_set = frozenset({"http", "https", "ws", "wss"})

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(limit=0)
        self._proxy = proxy

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        host, port = req.url.raw_host or "", req.url.port or 0
        tunnel = await open_tunnel(self._proxy, host, port)
        secure = req.is_ssl()
        try:
            _, protocol = await self._loop.create_connection(
                self._factory,
                sock=tunnel,
                ssl=_context(checked=req.ssl is not False) if secure else None,
                server_hostname=host if secure else None,
            )
        except BaseException:
            tunnel.close()
            raise
        return protocol


class _TunnelPipe(TcpPipe):
    """A pipe whose socket's other end is the proxy's."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self._address = address

    @property
    def remote(self) -> str:
        return str(self._address)


async def _dial_by_proxy(proxy: Proxy, address: Address) -> Pipe:
    tunnel = await open_tunnel(proxy, address.host, address.port)
    loop = asyncio.get_running_loop()
    try:
        _, pipe = await loop.create_connection(lambda: _TunnelPipe(address), sock=tunnel)
    except BaseException as error:
        tunnel.close()
        if isinstance(error, OSError):
            raise DialError(f"{address}: {error.strerror or error}") from None
        raise
    return pipe


async def _outcome(dial: Awaitable[Pipe]) -> Pipe | DialError:
    """A failed dial is a value: nobody may be waiting for it any more."""
    try:
        return await dial
    except DialError as error:
        return error


def _close_unused(dial: asyncio.Task[Pipe | DialError]) -> None:
    if not dial.cancelled() and not isinstance(pipe := dial.result(), DialError):
        pipe.abort()


def _context(*, checked: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not checked:  # a mesh pipe: the mesh's own TLS runs inside
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
