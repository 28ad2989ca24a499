"""CPU of one engine call: our HTTP client against aiohttp's, in the same run.

    python -m benchmarks.engine_client [--rounds 5] [--seconds 1.0]

The engine is a process of its own that answers fixed bytes as fast as asyncio can. Rounds of the
contenders are interleaved; CPU is this process's (client side only), medians over rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp

from mesh.capability import ModelRef
from mesh.jobs import JobSpec, Sampling
from services.engines.http_client import HttpClient
from services.engines.openai import OpenAIEngine

Call = Callable[[], Awaitable[None]]

TOKENS = 50
PATH = "/v1/chat/completions"
MESSAGES = ({"role": "user", "content": "Say hello, in one short sentence. " * 8},)


def whole_body() -> bytes:
    """A chat completion as a small engine answers it."""
    message = {"role": "assistant", "content": "Hello there."}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 60, "completion_tokens": 3, "total_tokens": 63}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**head, "choices": [choice], "usage": usage}).encode()


def event(delta: dict[str, str], reason: str | None) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
    line = b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


class FixedEngine(asyncio.Protocol):
    """Answers every POST: a body with "stream":true by one chunk a token, others whole."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.buffer = b""
        content = whole_body()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.whole = head % len(content) + content
        self.head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        self.tokens = [event({"content": f" word{i}"}, None) for i in range(TOKENS)]
        done = b"data: [DONE]\n\n"
        self.tail = event({}, "stop") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(done), done)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        start = self.buffer.lower().find(b"content-length:") + 15
        length = int(self.buffer[start : self.buffer.find(b"\r\n", start)])
        if len(self.buffer) < end + 4 + length:
            return
        body, self.buffer = self.buffer[end + 4 :], b""
        if b'"stream":true' not in body.replace(b" ", b""):
            self.transport.write(self.whole)
            return
        self.transport.write(self.head)
        self.send(0)

    def send(self, position: int) -> None:
        if position == TOKENS:
            self.transport.write(self.tail)
            return
        self.transport.write(self.tokens[position])
        loop = asyncio.get_running_loop()
        loop.call_later(self.delay, self.send, position + 1)


async def serve(delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FixedEngine(delay), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def payload(stream: bool) -> dict[str, object]:
    return {"model": "m", "messages": list(MESSAGES), "max_tokens": 50, "stream": stream}


def aiohttp_call(session: aiohttp.ClientSession, url: str, stream: bool) -> Call:
    """What a worker would write with aiohttp: post, read, decode."""

    async def call() -> None:
        async with session.post(url + PATH, json=payload(stream)) as response:
            if not stream:
                json.loads(await response.read())
                return
            async for line in response.content:
                if line.startswith(b"data: {"):
                    json.loads(line[6:])

    return call


def bare_call(client: HttpClient, stream: bool) -> Call:
    """The client alone: bytes out, bytes in, decoded as in `aiohttp_call`."""

    async def call() -> None:
        body = json.dumps(payload(stream)).encode()
        if not stream:
            json.loads((await client.fetch("POST", PATH, body)).body)
            return
        answer = await client.stream("POST", PATH, body)
        tail = b""
        while piece := await answer.read():
            *lines, tail = (tail + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    json.loads(line[6:])

    return call


def engine_call(engine: OpenAIEngine, stream: bool) -> Call:
    """All of `OpenAIEngine.run`: job in, chunks out."""
    job = JobSpec("chat", "m", MESSAGES, sampling=Sampling(max_tokens=50), stream=stream)
    model = ModelRef(name="m", engine="openai")

    async def call() -> None:
        async for _ in engine.run(job, model):
            pass

    return call


class Sockets(asyncio.BufferedProtocol):
    """The floor: bytes out, bytes in until the last ones have come, nothing understood."""

    def __init__(self) -> None:
        self.buffer = bytearray(65536)
        self.end = b""
        self.done: asyncio.Future[None] | None = None

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, size: int) -> None:
        if self.done is not None and self.buffer.endswith(self.end, 0, size):
            self.done.set_result(None)


def floor_call(url: str, stream: bool) -> Call:
    """Sockets alone, one connection a client kept by whoever is not using it."""
    idle: list[tuple[asyncio.Transport, Sockets]] = []
    parts = urlsplit(url)
    body = json.dumps(payload(stream)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    end = b"0\r\n\r\n" if stream else whole_body()[-20:]

    async def call() -> None:
        loop = asyncio.get_running_loop()
        if not idle:
            idle.append(
                await loop.create_connection(Sockets, parts.hostname or "", parts.port or 80)
            )
        transport, sockets = idle.pop()
        sockets.end, sockets.done = end, loop.create_future()
        transport.write(request)
        await sockets.done
        idle.append((transport, sockets))

    return call


async def spend(call: Call, clients: int, seconds: float) -> tuple[float, float]:
    """Run for some seconds: (CPU microseconds a call, calls a second)."""
    done = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    await call()
    started, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    spent = time.process_time() - cpu
    return spent / done * 1e6, done / (time.perf_counter() - started)


async def compare(url: str, *, stream: bool, clients: int, given: argparse.Namespace) -> None:
    per = TOKENS if stream else 1
    client, engine = HttpClient(url), OpenAIEngine(url)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        contenders = {
            "aiohttp": aiohttp_call(session, url, stream),
            "http_client": bare_call(client, stream),
            "OpenAIEngine.run": engine_call(engine, stream),
            "sockets alone": floor_call(url, stream),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(given.rounds):
            for name, call in contenders.items():
                taken[name].append(await spend(call, clients, given.seconds))
    await client.close()
    await engine.close()
    unit = "token" if stream else "call"
    base = [cpu for cpu, _ in taken["aiohttp"]]
    print(f"\n{'streamed' if stream else 'whole'} answers, {clients} at once")
    for name, rounds in taken.items():
        cpu = statistics.median(cpu for cpu, _ in rounds) / per
        rate = statistics.median(rate for _, rate in rounds) * per
        ratio = statistics.median(one / two[0] for one, two in zip(base, rounds, strict=True))
        print(f"  {name:17} {cpu:7.1f} us CPU/{unit}  {rate:8.0f} {unit}s/s  aiohttp x {ratio:.2f}")


async def measure(given: argparse.Namespace) -> None:
    upstream = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.engine_client", "--serve", "--delay", str(given.delay),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert upstream.stdout is not None
        url = f"http://127.0.0.1:{int(await upstream.stdout.readline())}"
        for stream in (False, True):
            for clients in (1, 16):
                await compare(url, stream=stream, clients=clients, given=given)
    finally:
        upstream.terminate()
        await upstream.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--delay", type=float, default=0.002, help="seconds between tokens")
    parser.add_argument("--serve", action="store_true", help="be the engine")
    given = parser.parse_args()
    asyncio.run(serve(given.delay) if given.serve else measure(given))


if __name__ == "__main__":
    main()
