"""A fake engine that costs next to nothing: vLLM's HTTP surface on a bare asyncio protocol.

Follows docs.vllm.ai "OpenAI-Compatible Server" (read 2026-11): GET /version, /v1/models, /health,
/metrics, POST /v1/chat/completions. A request's `max_tokens` says how many tokens to answer; a
streamed token's text is the moment it was sent, so that the reader can tell how long it travelled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from typing import Any, cast

import httptools
import uvloop

MODEL = "bench"
_DONE = b"data: [DONE]\n\n"


def answer() -> bytes:
    message = {"role": "assistant", "content": "ok"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [choice],
            "usage": usage,
        }
    ).encode()


def event(text: str | None, reason: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"


USAGE = (
    b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}\n\n'
)
GETS = {
    b"/version": json.dumps({"version": "0.11.0"}).encode(),
    b"/v1/models": json.dumps(
        {
            "object": "list",
            "data": [{"id": MODEL, "object": "model", "owned_by": "vllm", "max_model_len": 8192}],
        }
    ).encode(),
    b"/health": b"",
    b"/metrics": b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
    b'vllm:cache_config_info{block_size="16",num_gpu_blocks="131072"} 1.0\n',
}


def respond(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


WHOLE = respond(answer())


class Upstream(asyncio.Protocol):
    """One connection."""

    interval = 0.02

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = b""
        self._task: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def on_message_begin(self) -> None:
        self._url, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            known = self._url in GETS
            self._reply(GETS.get(self._url, b"{}"), b"200 OK" if known else b"404 Not Found")
            return
        if b'"stream":true' not in self._body.replace(b" ", b""):
            self._transport.write(WHOLE)
        else:
            request = json.loads(self._body)
            self._task = asyncio.get_running_loop().create_task(self._stream(request))

    def _reply(self, body: bytes, status: bytes = b"200 OK") -> None:
        self._transport.write(respond(body, status))

    async def _stream(self, request: dict[str, Any]) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        interval = float(request.get("interval", self.interval))
        start = loop.time()
        for number in range(int(request.get("max_tokens") or 50)):
            await asyncio.sleep(max(0.0, start + number * interval - loop.time()))
            self._chunk(event(f" {time.monotonic_ns()}"))
        self._chunk(event(None, "stop"))
        if (request.get("stream_options") or {}).get("include_usage"):
            self._chunk(USAGE)
        self._chunk(_DONE)
        self._transport.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(arguments.parse_args().port))
