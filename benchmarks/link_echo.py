"""What a message costs on a link: 200-byte echoes over loopback, against a bare TLS stream.

Both ends run in this process, so CPU is that of the whole round trip. `python -m
benchmarks.link_echo` prints one line a case; the ratio to the bare stream is the figure.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from statistics import median

from mesh.identity.boot import Boot
from mesh.identity.certificate import self_signed_certificate
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.links.pool import LinkPool
from mesh.ports import Link, Stream, StreamKind

MESSAGE = b"x" * 200
Echo = Callable[[], Awaitable[bytes | None]]


@contextlib.asynccontextmanager
async def link_pair() -> AsyncIterator[Link]:
    """A link between two pools of this process; the far end echoes."""
    mesh_id = mesh_of_network("benchmark")
    near, far = (
        LinkPool(key=NodeKey.generate(), mesh_id=mesh_id, boot=Boot(1, ""), listen=("127.0.0.1", 0))
        for _ in range(2)
    )
    await near.start()
    await far.start()
    far.serve(StreamKind.JOB, _echo_stream)
    try:
        yield await near.connect(far.node_id, far.addresses)
    finally:
        await near.close()
        await far.close()


async def _echo_stream(link: Link, stream: Stream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message)


def link_echoes(link: Link, streams: int) -> list[Echo]:
    """One echo function a stream."""

    def on(stream: Stream) -> Echo:
        async def echo() -> bytes | None:
            await stream.send(MESSAGE)
            return await stream.receive()

        return echo

    return [on(link.open(StreamKind.JOB)) for _ in range(streams)]


@contextlib.asynccontextmanager
async def bare_server() -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """An asyncio TLS server that echoes length-prefixed messages."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = NodeKey.generate()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bare.pem"
        path.write_bytes(key.private_pem() + self_signed_certificate(key))
        server_context.load_cert_chain(path)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    server = await asyncio.start_server(_bare_echo, "127.0.0.1", 0, ssl=server_context)
    async with server:
        yield server.sockets[0].getsockname()[1], client_context


async def _bare_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            writer.write(await _read_message(reader))
    writer.close()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(struct.unpack(">I", head)[0])


@contextlib.asynccontextmanager
async def bare_echoes(streams: int) -> AsyncIterator[list[Echo]]:
    """One echo function a connection: bare TLS has no streams."""
    async with bare_server() as (port, context), contextlib.AsyncExitStack() as stack:

        async def connect() -> Echo:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            stack.push_async_callback(writer.wait_closed)
            stack.callback(writer.close)

            async def echo() -> bytes | None:
                writer.write(struct.pack(">I", len(MESSAGE)) + MESSAGE)
                return await _read_message(reader)

            return echo

        yield [await connect() for _ in range(streams)]


async def measure(echoes: list[Echo], seconds: float) -> tuple[float, float]:
    """Round trips a second, and CPU microseconds of one."""
    deadline = time.perf_counter() + seconds
    count = 0

    async def loop(echo: Echo) -> None:
        nonlocal count
        while time.perf_counter() < deadline:
            await echo()
            count += 1

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(loop(echo) for echo in echoes))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return count / wall, cpu / count * 1e6


async def compare(streams: int, rounds: int, seconds: float) -> None:
    """Interleaved rounds of both, medians printed."""
    results: dict[str, list[tuple[float, float]]] = {"link": [], "bare": []}
    async with link_pair() as link, bare_echoes(streams) as bare:
        cases = {"link": link_echoes(link, streams), "bare": bare}
        for _ in range(rounds):
            for name, echoes in cases.items():
                results[name].append(await measure(echoes, seconds))
    for name, found in results.items():
        rate = median(rate for rate, _ in found)
        cpu = median(cpu for _, cpu in found)
        print(f"{streams:4} streams  {name}: {rate:8.0f} echoes/s  {cpu:6.1f} us CPU an echo")
    ratio = median(a[1] / b[1] for a, b in zip(results["link"], results["bare"], strict=True))
    print(f"{streams:4} streams  link / bare CPU: {ratio:.2f}")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    for streams in options.streams:
        asyncio.run(compare(streams, options.rounds, options.seconds))


if __name__ == "__main__":
    main()
