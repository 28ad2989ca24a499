"""TLS to engines whose URL says https: only certificates this machine trusts."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.errors import EngineUnavailable
from services.engines.http_client import HttpClient
from tests.integration.engines.conftest import Conversation, ScriptedServer


async def answer(conversation: Conversation) -> None:
    while await conversation.request():
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    now = datetime.datetime.now(datetime.UTC)
    place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(place, critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return public, private


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_trusted_certificates_are_accepted(
    serve: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    public, private = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    server = await serve(answer, ssl=context)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
    client = HttpClient(server.url)
    if trusted:
        for _ in range(2):
            assert (await client.fetch("GET", "/")).body == b"hello"
        assert server.accepted == 1
    else:
        with pytest.raises(EngineUnavailable, match="not trusted"):
            await client.fetch("GET", "/")
    await client.close()
