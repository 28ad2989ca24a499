"""The baseline one would write by hand: aiohttp on both hops, on uvloop, mutual TLS between.

`gateway` checks the key, parses and validates the request, logs, and posts it to `worker` over
HTTPS with client certificates and keep-alive; `worker` does the same, to the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import json
import logging
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

log = logging.getLogger("baseline")


class Hop:
    """One proxy hop."""

    def __init__(self, target: str, client_tls: ssl.SSLContext | None) -> None:
        self._target = target
        self._tls = client_tls
        self._session: aiohttp.ClientSession | None = None

    async def open(self, app: web.Application) -> Any:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls else True)
        async with aiohttp.ClientSession(connector=connector) as session:
            self._session = session
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(token, "bench"):
            return web.json_response({"error": {"message": "bad key"}}, status=401)
        body = json.loads(await request.read())
        problem = validate(body)
        if problem:
            return web.json_response({"error": {"message": problem}}, status=400)
        log.debug("request for %s", body["model"])
        assert self._session is not None
        async with self._session.post(
            f"{self._target}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"authorization": "Bearer bench", "content-type": "application/json"},
        ) as answer:
            if not body.get("stream"):
                return web.Response(
                    body=await answer.read(), status=answer.status, content_type="application/json"
                )
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def validate(body: Any) -> str | None:
    """As much as the product checks of a plain chat request."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return "model is required"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages is required"
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("system", "user", "tool"):
            return "a message has a role"
    for name in ("max_tokens", "n", "seed"):
        if name in body and not isinstance(body[name], int):
            return f"{name} is a whole number"
    return None


def tls(folder: Path, purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=str(folder / "cert.pem"))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


async def serve(role: str, target: str, folder: Path) -> None:
    worker = role == "worker"
    hop = Hop(target, None if worker else tls(folder, ssl.Purpose.SERVER_AUTH))
    app = web.Application()
    app.cleanup_ctx.append(hop.open)
    app.router.add_post("/v1/chat/completions", hop.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    server_tls = tls(folder, ssl.Purpose.CLIENT_AUTH) if worker else None
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls)
    await site.start()
    port = runner.addresses[0][1]
    print(f"{'https' if worker else 'http'}://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["gateway", "worker"])
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(given.role, given.target, given.folder))
