"""What every fake engine shares: a socket, knobs that misbehave, counters, a process shell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from aiohttp import web

from tests.fakes.knobs import Knobs, Seen, state

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeServer:
    """Serves on 127.0.0.1 until closed. Subclasses give the routes and the wire's own garbage."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.seen = Seen()
        self.url = ""
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Bind and serve; the URL."""
        app = web.Application(middlewares=[self._gate], client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [*self.routes(), web.get("/fake", self._show), web.post("/fake", self._turn)]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        self._runner = runner
        self.port = runner.addresses[0][1]
        self.url = f"http://{host}:{self.port}"
        return self.url

    async def stop(self) -> None:
        """Cut every connection and stop listening, as a killed engine does. Safe to call twice."""
        runner, self._runner = self._runner, None
        for transport in self.seen.connections:
            transport.abort()
        if runner is not None:
            await runner.cleanup()

    def routes(self) -> list[web.RouteDef]:
        raise AssertionError("a fake has routes")

    def server_header(self) -> str:
        return "fake"

    def refuse(self, request: web.Request) -> web.Response | None:
        """A refusal that comes before any route."""
        return None

    def garbage(self) -> bytes:
        return b"garbage\n"

    def stream_error(self) -> bytes:
        return b'{"error":"out of memory"}\n'

    @contextmanager
    def generation(self) -> Iterator[None]:
        """Count a running generation, and whether its caller left early."""
        self.seen.generations += 1
        self.seen.running += 1
        try:
            yield
        except (asyncio.CancelledError, ConnectionResetError):
            self.seen.disconnects += 1
            self.seen.gone.set()
            raise
        finally:
            self.seen.running -= 1

    async def misbehave(
        self, position: int, request: web.Request, response: web.StreamResponse
    ) -> bool:
        """Do what the knobs say at this token; True when the stream has ended."""
        knobs = self.knobs
        if position == knobs.fail_after:
            if request.transport is not None:
                request.transport.abort()
            return True
        if position == knobs.truncate_after:
            return True
        if position == knobs.garbage_after:
            await response.write(self.garbage())
        if position == knobs.error_after:
            await response.write(self.stream_error())
            return True
        if position == knobs.hang_after:
            await asyncio.Event().wait()
        return False

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.transport is not None:
            self.seen.connections.add(request.transport)
        refused = None if request.path == "/fake" else self.refuse(request)
        response = refused or await handler(request)
        if not response.prepared:
            self._stamp(response)
        return response

    def _stamp(self, response: web.StreamResponse) -> None:
        response.headers["Server"] = self.server_header()
        if self.knobs.mesh_header:
            response.headers["x-electrons-node"] = self.knobs.mesh_header

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(state(self.knobs, self.seen))

    async def _turn(self, request: web.Request) -> web.Response:
        try:
            self.knobs.update(await request.json())
        except KeyError as unknown:
            raise web.HTTPBadRequest(text=f"no such knob: {unknown}") from unknown
        return await self._show(request)


def serve_forever(fake: FakeServer, host: str, port: int) -> None:
    """Serve as a process: print the URL, then go on until terminated."""

    async def serve() -> None:
        print(await fake.start(host, port), flush=True)
        await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())
