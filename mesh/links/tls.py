"""TLS 1.3 in memory (RFC 8446, by ssl.MemoryBIO), so that one code path serves every pipe.

The dialled side proves its key by a self-signed certificate; the dialler proves its own inside TLS
(mesh.links.handshake), because Python's ssl cannot accept unknown self-signed client certificates.
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
import time
from pathlib import Path

from mesh.errors import HandshakeError
from mesh.identity.certificate import certificate_key, self_signed_certificate
from mesh.identity.keys import NodeKey

ALPN = "electrons-mesh"
_READ = 256 * 1024


class TlsIdentity:
    """The two TLS contexts of a node; made once, shared by all its links."""

    def __init__(self, key: NodeKey) -> None:
        self._server = _context(ssl.PROTOCOL_TLS_SERVER)
        self._server.num_tickets = 0  # links are long; resumption would only cost memory
        _load(self._server, key)
        self._client = _context(ssl.PROTOCOL_TLS_CLIENT)

    def channel(self, *, dialler: bool) -> TlsChannel:
        """A fresh TLS end."""
        return TlsChannel(self._client if dialler else self._server, dialler=dialler)


class TlsChannel:
    """Sans-I/O TLS end: ciphertext in, plaintext out, and the reverse."""

    def __init__(self, context: ssl.SSLContext, *, dialler: bool) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=not dialler)
        self.established = False
        self.ended = False
        """The other end said goodbye (close_notify); without it an end is a crash."""
        self._broken = False

    def start(self) -> bytes:
        """The first bytes to send: the dialler's ClientHello."""
        self._handshake()
        return self._outgoing.read()

    def receive(self, ciphertext: bytes) -> bytes:
        """Plaintext in these bytes. Raises HandshakeError when they are no valid TLS.

        Call `pending_output` afterwards: TLS may have something to answer.
        """
        self._incoming.write(ciphertext)
        if not self.established and not self._handshake():
            return b""
        return self._read()

    def write(self, plaintext: bytes) -> bytes:
        """The ciphertext of some plaintext; nothing once the encryption was broken."""
        if self._broken:
            return b""
        self._tls.write(plaintext)
        return self._outgoing.read()

    def pending_output(self) -> bytes:
        """What TLS itself wants to send; empty most of the time."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def goodbye(self) -> bytes:
        """The close_notify that makes this end a clean one."""
        with contextlib.suppress(ssl.SSLError):  # nobody waits for the other end's close_notify
            self._tls.unwrap()
        return self._outgoing.read()

    def peer_key(self) -> bytes:
        """The Ed25519 key of the dialled side's certificate. Raises HandshakeError."""
        der = self._tls.getpeercert(binary_form=True)
        if der is None:
            raise HandshakeError("the other end showed no certificate")
        if _chain_length(self._tls) != 1:
            raise HandshakeError("the other end showed a chain of certificates, not its own only")
        return certificate_key(der, time.time())

    def _handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._broken = True
            raise HandshakeError(f"not a mesh node: TLS failed ({error.reason})") from None
        if self._tls.selected_alpn_protocol() != ALPN:
            raise HandshakeError("the other end speaks TLS, but not for a mesh")
        self.established = True
        return True

    def _read(self) -> bytes:
        parts: list[bytes] = []
        tls, incoming = self._tls, self._incoming
        try:
            while incoming.pending or tls.pending():
                part = tls.read(_READ)
                if not part:
                    self.ended = True
                    break
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self._broken = True
            raise HandshakeError(f"the encryption was broken ({error.reason})") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the key is checked against the node id instead
    context.set_alpn_protocols([ALPN])
    return context


def _chain_length(tls: ssl.SSLObject) -> int:
    """Certificates the other end showed. Public since Python 3.13, reachable since 3.10."""
    public = getattr(tls, "get_unverified_chain", None)
    chain = public() if public is not None else tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return len(chain or ())


def _load(context: ssl.SSLContext, key: NodeKey) -> None:
    """OpenSSL takes certificates from files only: show it one for a moment."""
    with tempfile.TemporaryDirectory(prefix="electrons-") as folder:  # mode 0700
        path = Path(folder) / "link.pem"
        path.touch(mode=0o600)
        path.write_bytes(key.private_pem() + self_signed_certificate(key))
        context.load_cert_chain(path)
