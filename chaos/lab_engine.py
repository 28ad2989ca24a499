"""Engines of a lab: each machine has one, and each offers a model of its own.

A job for that model can only be done there, so that a client chooses the pair that is tried. They
follow docs.vllm.ai "OpenAI-Compatible Server" (read 2026-11) and live in the lab's own event loop.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from aiohttp import web

from chaos.nat_lab import LabHost

PORT = 8000
URL = f"http://127.0.0.1:{PORT}"
CANARY = "the-answer-that-nobody-on-the-way-may-read"
"""A part of every answer, in one token."""


def model_of(host: LabHost) -> str:
    """The model that only this machine has."""
    return f"at-{host.name}"


class LabEngine:
    """Serves one machine on its loopback, as an async context manager."""

    def __init__(self, host: LabHost) -> None:
        self._model = model_of(host)
        self._host = host
        self.pause = 0.0
        """Seconds between tokens."""
        self.jobs = 0

    async def __aenter__(self) -> LabEngine:
        application = web.Application()
        application.add_routes(
            [
                web.get("/version", self._version),
                web.get("/v1/models", self._models),
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        with self._host.namespace.inside():
            door = socket.create_server(("127.0.0.1", PORT))
        await web.SockSite(self._runner, door).start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._runner.cleanup()

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.11.0"})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, request: web.Request) -> web.Response:
        model = {"id": self._model, "object": "model", "owned_by": "vllm", "max_model_len": 8192}
        return web.json_response({"object": "list", "data": [model]})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            text="vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
            'vllm:cache_config_info{block_size="16",num_gpu_blocks="131072"} 1.0\n'
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        count = int(body.get("max_tokens") or 8)
        self.jobs += 1
        if not body.get("stream"):
            return web.json_response(self._whole("".join(words(count)), count))
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for word in words(count):
            await answer.write(self._event([{"index": 0, "delta": {"content": word}}]))
            if self.pause:
                await asyncio.sleep(self.pause)
        await answer.write(self._event([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        if (body.get("stream_options") or {}).get("include_usage"):
            await answer.write(self._event([], usage=_usage(count)))
        await answer.write(b"data: [DONE]\n\n")
        return answer

    def _whole(self, text: str, count: int) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": self._model}
        return {**head, "choices": [choice], "usage": _usage(count)}

    def _event(self, choices: list[Any], **more: Any) -> bytes:
        head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": self._model}
        return b"data: " + json.dumps({**head, "choices": choices, **more}).encode() + b"\n\n"


def words(count: int) -> list[str]:
    """The tokens of an answer: the first is the canary, the others are numbered."""
    return [f"{CANARY} ", *(f"word{number} " for number in range(1, count))]


def _usage(count: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count}
