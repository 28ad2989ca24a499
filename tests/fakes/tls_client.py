"""TLS clients in memory."""

from __future__ import annotations

import contextlib
import ssl


class MemoryClient:
    """A TLS client without a socket."""

    def __init__(self, name: str | None, *, most: ssl.TLSVersion | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if most is not None:
            context.maximum_version = most
        self.shaken = False
        self.ended = False
        """The other end has said close_notify."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def shake(self, received: bytes = b"") -> bytes:
        """Go on with the handshake; what to send. Raises ssl.SSLError for an alert."""
        self.incoming.write(received)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.shaken = True
        return self.outgoing.read()

    def send(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.outgoing.read()

    def read(self, received: bytes) -> bytes:
        """The plaintext in these bytes; b"" at the end as well."""
        self.incoming.write(received)
        parts = []
        with contextlib.suppress(ssl.SSLWantReadError):
            try:
                while part := self.tls.read(65536):
                    parts.append(part)
                self.ended = True
            except ssl.SSLZeroReturnError:
                self.ended = True
        return b"".join(parts)
