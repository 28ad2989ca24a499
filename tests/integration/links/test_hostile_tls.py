"""TLS as it must not be, on real sockets: nothing of the mesh is said before both ends are proved.

The cases are those of the libp2p TLS specification (2022, "Handshake Protocol"): one certificate,
signed by its own Ed25519 key, not expired, TLS 1.3 and the protocol's own ALPN.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import load_der_x509_certificate

from mesh.errors import DialError
from mesh.identity.certificate import self_signed_certificate
from mesh.identity.keys import NodeKey
from mesh.ids import NodeId, node_id_of
from mesh.links.tls import ALPN
from mesh.ports import StreamKind
from tests.fakes.certificates import Certified, PrivateKey, certify
from tests.integration.links.peers import MakePool, echo, eventually


@dataclass
class Impostor:
    """What answers where a node is dialled; keeps what it was told inside TLS."""

    context: ssl.SSLContext
    port: int = 0
    shaken: int = 0
    heard: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.shaken += 1
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.heard += data
        writer.transport.abort()
        self.ended.set()


@asynccontextmanager
async def answering(context: ssl.SSLContext) -> AsyncIterator[Impostor]:
    impostor = Impostor(context)
    server = await asyncio.start_server(impostor.serve, "127.0.0.1", 0, ssl=context)
    impostor.port = server.sockets[0].getsockname()[1]
    try:
        yield impostor
    finally:
        server.close()


def speaking(folder: Path, pem: bytes, alpn: str = ALPN) -> ssl.SSLContext:
    """A server's context with this chain and key."""
    path = folder / "impostor.pem"
    path.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols([alpn])
    return context


def chain(*certified: Certified) -> bytes:
    return certified[0].key_pem() + b"".join(each.pem for each in certified)


def plain(key: PrivateKey, days: tuple[float, float] = (-1, 30)) -> bytes:
    return chain(certify(key, days=days))


def issued() -> bytes:
    return chain(
        certify(Ed25519PrivateKey.generate(), issuer=certify(Ed25519PrivateKey.generate()))
    )


def two() -> bytes:
    first = certify(Ed25519PrivateKey.generate())
    return chain(first, certify(Ed25519PrivateKey.generate()))


CERTIFICATES: list[tuple[Callable[[], bytes], str]] = [
    (lambda: plain(rsa.generate_private_key(65537, 2048)), "does not hold an Ed25519 key"),
    (lambda: plain(ec.generate_private_key(ec.SECP256R1())), "does not hold an Ed25519 key"),
    (lambda: plain(Ed25519PrivateKey.generate(), (-3, -1)), "has expired"),
    (issued, "is not signed by its own key"),
    (two, "a chain of certificates"),
]


@pytest.mark.parametrize(("make", "words"), CERTIFICATES)
async def test_wrong_certificates_are_told_nothing(
    make_pool: MakePool, tmp_path: Path, make: Callable[[], bytes], words: str
) -> None:
    pool = await make_pool()
    async with answering(speaking(tmp_path, make())) as impostor:
        with pytest.raises(DialError, match=words):
            await pool.connect(None, [f"tcp://127.0.0.1:{impostor.port}"])
        await impostor.ended.wait()
    assert (impostor.shaken, bytes(impostor.heard)) == (1, b"")
    assert not pool.all()


def node_pem(key: NodeKey) -> bytes:
    return key.private_pem() + self_signed_certificate(key)


async def test_another_nodes_good_certificate_is_told_nothing(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool, key = await make_pool(), NodeKey.generate()
    async with answering(speaking(tmp_path, node_pem(key))) as impostor:
        url = f"tcp://127.0.0.1:{impostor.port}"
        with pytest.raises(DialError, match=f"another node answered: {key.node_id}"):
            await pool.connect(NodeKey.generate().node_id, [url])
        await impostor.ended.wait()
    assert impostor.heard == b""


async def test_the_right_certificate_without_the_rest_is_told_nothing(
    make_pool: MakePool, tmp_path: Path
) -> None:
    """The control: TLS stands, and this side waits for a challenge before it says a word."""
    pool, key = await make_pool(handshake_timeout=0.2), NodeKey.generate()
    async with answering(speaking(tmp_path, node_pem(key))) as impostor:
        with pytest.raises(DialError, match="took too long"):
            await pool.connect(key.node_id, [f"tcp://127.0.0.1:{impostor.port}"])
        await impostor.ended.wait()
    assert (impostor.shaken, bytes(impostor.heard)) == (1, b"")


def old(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


OLD = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2]


@pytest.mark.parametrize("version", OLD)
async def test_a_node_that_speaks_old_tls_is_not_spoken_to(
    make_pool: MakePool, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    pool, key = await make_pool(), NodeKey.generate()
    async with answering(old(speaking(tmp_path, node_pem(key)), version)) as impostor:
        with pytest.raises(DialError, match=r"not a mesh node|ended during the"):
            await pool.connect(key.node_id, [f"tcp://127.0.0.1:{impostor.port}"])
    assert impostor.shaken == 0


async def test_another_protocol_over_good_tls_is_not_spoken(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool, key = await make_pool(), NodeKey.generate()
    async with answering(speaking(tmp_path, node_pem(key), "h2")) as impostor:
        with pytest.raises(DialError, match=r"not a mesh node|not for a mesh"):
            await pool.connect(key.node_id, [f"tcp://127.0.0.1:{impostor.port}"])
    assert impostor.heard == b""


def client(version: ssl.TLSVersion | None = None, alpn: str | None = ALPN) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    return context if version is None else old(context, version)


@pytest.mark.parametrize(
    "context", [*(client(version) for version in OLD), client(alpn="h2"), client(alpn=None)]
)
async def test_who_dials_with_other_tls_is_told_nothing(
    make_pool: MakePool, context: ssl.SSLContext
) -> None:
    pool = await make_pool()
    pool.serve(StreamKind.DHT, echo)
    said = b""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", pool.port, ssl=context)
        said = await reader.read(1)
        writer.close()
    assert said == b""
    await eventually(lambda: pool.metrics.handshakes_failed["HandshakeError"] == 1)
    assert pool.metrics.streams_in == 0


async def test_tls_as_it_should_be_gets_a_challenge_and_nothing_to_resume(
    make_pool: MakePool,
) -> None:
    """The control of the test above; and no ticket, so that no early data can be replayed."""
    pool = await make_pool()
    reader, writer = await asyncio.open_connection("127.0.0.1", pool.port, ssl=client())
    assert await reader.read(1)
    tls = writer.get_extra_info("ssl_object")
    assert tls.version() == "TLSv1.3"
    assert not tls.session.has_ticket
    assert tls.compression() is None
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert _id_in(shown) == pool.node_id
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _id_in(der: bytes) -> NodeId:
    key = load_der_x509_certificate(der).public_key()
    return node_id_of(key.public_bytes_raw())  # type: ignore[union-attr]
