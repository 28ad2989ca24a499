"""The containers' health check, run as the containers run it, against real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "docker" / "health_check.py"


@asynccontextmanager
async def answering(status: int, body: bytes, seen: list[bytes]) -> AsyncIterator[str]:
    """A daemon that answers everything the same way; its base URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def run_check(*words: str, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit status and standard output; a trace on standard error fails the test."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(SCRIPT), *words),
        env={**os.environ, **(environ or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, trace = await child.communicate()
    assert trace == b""
    assert child.returncode is not None
    return child.returncode, out.decode()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def write_run_file(folder: Path, content: str) -> dict[str, str]:
    """Leave a run file; the variables that let the check find it."""
    (folder / "run.json").write_text(content)
    return {"ELECTRONS_DATA_DIR": str(folder)}


@pytest.mark.parametrize("status", [200, 503])
async def test_a_live_daemon_is_healthy_ready_or_not(status: int) -> None:
    body = json.dumps({"live": True, "ready": status == 200, "state": "isolated"}).encode()
    async with answering(status, body, []) as url:
        assert await run_check(url) == (0, "healthy\n")


async def test_an_edge_router_that_is_ok_is_healthy() -> None:
    async with answering(200, b'{"status": "ok", "nodes": 3}', []) as url:
        assert await run_check(url) == (0, "healthy\n")


@pytest.mark.parametrize(
    "body",
    [
        b'{"live": false, "state": "failed"}',
        b'{"state": "joined"}',
        b'{"live": "yes"}',
        b'{"status": "unhealthy"}',
        b"[true]",
        b"<html>",
        b"",
        b"\xff\xfe",
    ],
)
async def test_whoever_does_not_say_live_is_unhealthy(body: bytes) -> None:
    async with answering(200, body, []) as url:
        status, reason = await run_check(url)
    assert status == 1
    assert reason.startswith("unhealthy: ")


async def test_the_state_is_in_the_reason() -> None:
    async with answering(200, b'{"live": false, "state": "failed"}', []) as url:
        assert "'failed'" in (await run_check(url))[1]


async def test_a_daemon_that_is_gone_is_unhealthy() -> None:
    status, reason = await run_check(f"http://127.0.0.1:{free_port()}")
    assert (status, "refused" in reason) == (1, True)


async def test_the_run_file_says_where_and_opens_the_door(tmp_path: Path) -> None:
    seen: list[bytes] = []
    async with answering(200, b'{"live": true}', seen) as url:
        environ = write_run_file(tmp_path, json.dumps({"url": url, "token": "t0ken"}))
        assert await run_check(environ=environ) == (0, "healthy\n")
    assert seen[0].startswith(b"GET /health HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer t0ken\r\n" in seen[0]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"url": "http://127.0.0.1:1"}', "nonsense"])
async def test_a_damaged_run_file_is_unhealthy(tmp_path: Path, content: str) -> None:
    status, reason = await run_check(environ=write_run_file(tmp_path, content))
    assert (status, "is damaged" in reason) == (1, True)


async def test_no_run_file_is_unhealthy(tmp_path: Path) -> None:
    status, reason = await run_check(environ={"ELECTRONS_DATA_DIR": str(tmp_path)})
    assert (status, "No such file" in reason) == (1, True)


async def test_an_unknown_data_folder_is_unhealthy() -> None:
    assert await run_check() == (1, "unhealthy: ELECTRONS_DATA_DIR is not set\n")


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://127.0.0.1:99999", "http://[::"])
async def test_a_bad_url_is_unhealthy(url: str) -> None:
    assert (await run_check(url))[0] == 1
