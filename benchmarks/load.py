"""The load generator: HTTP/1.1 keep-alive clients on bare asyncio, cheap against what it loads."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools


@dataclass
class Figures:
    """What a run of plain requests gave."""

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """Seconds."""
        return percentile(self.latencies, percent)


@dataclass
class StreamFigures:
    """What a run of paced streams gave. All in seconds."""

    tokens: int = 0
    seconds: float = 0.0
    transits: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    errors: int = 0


def percentile(values: list[float], percent: float) -> float:
    if not values:
        return float("nan")
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=1000, method="inclusive")[
        min(998, max(0, round(percent * 10) - 1))
    ]


def build_request(url: str, body: dict[str, object]) -> bytes:
    parts = urlsplit(url)
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\n"
        f"authorization: Bearer bench\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class Client(asyncio.Protocol):
    """One connection that asks one thing after the other."""

    def __init__(self, on_data: Callable[[bytes], None] | None = None) -> None:
        self._on_data = on_data
        self._waiter: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(0)

    def on_body(self, body: bytes) -> None:
        if self._on_data is not None:
            self._on_data(body)

    def on_message_complete(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._parser.get_status_code())

    async def ask(self, request: bytes) -> int:
        """The status; 0 when the connection was lost."""
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiter


async def connect(url: str, on_data: Callable[[bytes], None] | None = None) -> Client:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    assert parts.hostname
    assert parts.port
    _, client = await loop.create_connection(lambda: Client(on_data), parts.hostname, parts.port)
    return client


async def run_requests(
    url: str, model: str, clients: int, seconds: float, *, warm_up: float = 0.3
) -> Figures:
    """Closed loop: each client asks again as soon as it was answered."""
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    request = build_request(url, {**body, "max_tokens": 1})
    figures = Figures()
    start = time.perf_counter() + warm_up
    end = start + seconds

    async def loop() -> None:
        client = await connect(url)
        while (began := time.perf_counter()) < end:
            status = await client.ask(request)
            now = time.perf_counter()
            if status == 0:
                client = await connect(url)
            if began >= start and now <= end:
                figures.requests += status == 200
                figures.errors += status != 200
                figures.latencies.append(now - began)
        client.transport.close()

    await asyncio.gather(*(loop() for _ in range(clients)))
    figures.seconds = seconds
    return figures


async def run_streams(
    url: str, model: str, streams: int, tokens: int, interval: float
) -> StreamFigures:
    """All start within `interval`; each carries one token per `interval` seconds."""
    request = build_request(
        url,
        {
            "model": model,
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": tokens,
            "stream": True,
            "interval": interval,
        },
    )
    figures = StreamFigures()

    async def one(delay: float) -> None:
        began = last = 0.0
        rest = b""

        def read(data: bytes) -> None:
            nonlocal last, rest
            now_ns, now = time.monotonic_ns(), time.perf_counter()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                stamp = find_stamp(line)
                if stamp is None:
                    continue
                figures.tokens += 1
                figures.transits.append((now_ns - stamp) / 1e9)
                (figures.gaps if last else figures.first_tokens).append(now - (last or began))
                last = now

        client = await connect(url, read)
        await asyncio.sleep(delay)
        began = time.perf_counter()
        figures.errors += await client.ask(request) != 200
        client.transport.close()

    start = time.perf_counter()
    await asyncio.gather(*(one(interval * n / streams) for n in range(streams)))
    figures.seconds = time.perf_counter() - start
    return figures


def find_stamp(line: bytes) -> int | None:
    """The nanoseconds a token's text carries, if the line is such a token."""
    start = line.find(b'"content":')
    if start < 0:
        return None
    digits = line[start + 10 : start + 40].lstrip(b' "').split(b'"', 1)[0]
    return int(digits) if digits.isdigit() else None
