"""The HTTP port with a certificate: HTTPS and wss:// on one port, and what may go wrong there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from node.door import tls_transport
from node.gateway import tls_port
from node.gateway.settings import GatewaySettings
from node.gateway.tls_files import TlsFiles
from tests.fakes.certificates import Certified, certify
from tests.integration.gateway.conftest import Door, Opener
from tests.integration.gateway.test_mesh_websocket import echo
from tests.integration.gateway.twins import HELLO

CHAT = {"model": "story", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def certified() -> Certified:
    return certify()


@pytest.fixture
def files(certified: Certified, tmp_path: Path) -> TlsFiles:
    return TlsFiles(*certified.write(tmp_path))


@pytest.fixture
async def secure(open_door: Opener, files: TlsFiles) -> AsyncIterator[Door]:
    yield await open_door(mesh_websocket=echo, tls=files)


def trusting(certified: Certified) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certified.pem.decode())


def https(door: Door) -> str:
    return f"https://127.0.0.1:{door.gateway.port}"


async def test_requests_and_streams_are_answered(secure: Door, certified: Certified) -> None:
    for body, kind in ((CHAT, "application/json"), ({**CHAT, "stream": True}, "text/event-stream")):
        secure.dispatch.play(HELLO)
        url = f"{https(secure)}/v1/chat/completions"
        async with secure.session.post(url, json=body, ssl=trusting(certified)) as answer:
            assert answer.status == 200
            assert answer.content_type == kind
            assert "Hel" in await answer.text()


async def test_the_mesh_answers_on_the_same_port(secure: Door, certified: Certified) -> None:
    url = f"wss://127.0.0.1:{secure.gateway.port}/mesh"
    async with secure.session.ws_connect(url, ssl=trusting(certified)) as pipe:
        await pipe.send_bytes(b"m" * 200_000)
        assert await pipe.receive_bytes() == b"m" * 200_000


async def test_programs_of_this_machine_need_no_certificate(secure: Door) -> None:
    url = f"http://127.0.0.1:{secure.gateway.beside}/v1/models"
    assert (await secure.session.get(url)).status == 200


async def test_a_request_right_behind_the_handshake_is_served(
    secure: Door, certified: Certified
) -> None:
    """In one segment with the end of the handshake, as TLS 1.3 clients may send it."""
    context = trusting(certified)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    reader, writer = await asyncio.open_connection("127.0.0.1", secure.gateway.port)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await asyncio.wait_for(reader.read(65536), 5))
    tls.write(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    writer.write(outgoing.read())  # the client's Finished and the request at once
    answer = b""
    async with asyncio.timeout(5):
        while not answer:
            incoming.write(await reader.read(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer = tls.read(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    writer.close()


async def test_old_tls_and_plain_http_are_refused(secure: Door, certified: Certified) -> None:
    old = trusting(certified)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    for url, context in ((https(secure), old), (https(secure).replace("https", "http"), None)):
        with pytest.raises(aiohttp.ClientError):
            await secure.session.get(f"{url}/v1/models", ssl=context or True)
    assert not secure.dispatch.jobs


async def test_a_renewed_certificate_is_taken_up(
    open_door: Opener, files: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_port, "LOOK_EVERY", 0.02)
    door = await open_door(tls=files)
    renewed = certify(days=(-1, 60))
    renewed.write(tmp_path)
    async with asyncio.timeout(5):
        while files.not_after != renewed.certificate.not_valid_after_utc:
            await asyncio.sleep(0.01)
    answer = await door.session.get(f"{https(door)}/v1/models", ssl=trusting(renewed))
    assert answer.status == 200


async def test_a_broken_renewal_keeps_the_old_certificate(
    open_door: Opener,
    files: TlsFiles,
    certified: Certified,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tls_port, "LOOK_EVERY", 0.02)
    door = await open_door(tls=files)
    (tmp_path / "node.crt").write_bytes(certify().pem)  # a new certificate with the old key
    async with asyncio.timeout(5):
        while "does not belong" not in caplog.text:
            await asyncio.sleep(0.01)
    answer = await door.session.get(f"{https(door)}/v1/models", ssl=trusting(certified))
    assert answer.status == 200


async def test_slow_handshakes_are_ended_and_keep_nobody_out(
    open_door: Opener,
    files: TlsFiles,
    certified: Certified,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tls_port, "MAX_SHAKING", 8)
    monkeypatch.setattr(tls_transport, "HANDSHAKE_SECONDS", 0.5)
    door = await open_door(GatewaySettings(), tls=files)
    loop = asyncio.get_running_loop()
    slow = []
    for _ in range(40):
        connection = socket.create_connection(("127.0.0.1", door.gateway.port))
        connection.setblocking(False)
        await loop.sock_sendall(connection, b"\x16\x03\x01")
        slow.append(connection)
    answer = await door.session.get(f"{https(door)}/v1/models", ssl=trusting(certified))
    assert answer.status == 200
    async with asyncio.timeout(5):
        for connection in slow:
            with connection:
                try:
                    assert await loop.sock_recv(connection, 1) == b""
                except ConnectionResetError:
                    continue
