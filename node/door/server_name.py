"""Which name a TLS client asks for (RFC 6066, section 3), read without decrypting anything.

OpenSSL reads the ClientHello in memory and tells the name; the handshake is stopped there, so that
no key is made and nothing is ever decrypted here.
"""

from __future__ import annotations

import ssl

from mesh.errors import WireError

MAX_HELLO = 16 * 1024
"""Bytes within which the name must have come; browsers send about 2 KiB."""


class ServerNames:
    """Makes readers, which share one TLS context."""

    def __init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.sni_callback = self._found
        self._last: str | None = None

    def reader(self) -> ServerNameReader:
        """For one connection."""
        return ServerNameReader(self)

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """A TLS end that only ever reads a ClientHello."""
        return self._context.wrap_bio(incoming, outgoing, server_side=True)

    def shake(self, tls: ssl.SSLObject) -> str | None:
        """The name, "" for none, None when bytes are missing. Raises WireError if it is no TLS."""
        self._last = None
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLError as error:
            if self._last is None:
                raise WireError(f"no TLS came ({error.reason})") from None
        return self._last

    def _found(self, _tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int:
        self._last = name or ""
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME  # this end goes no further, ever


class ServerNameReader:
    """Reads one connection's first bytes."""

    def __init__(self, names: ServerNames) -> None:
        self._names = names
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = names.wrap(self._incoming, self._outgoing)
        self._received = bytearray()

    @property
    def received(self) -> bytes:
        """All bytes that came: the name's holder has to see them."""
        return bytes(self._received)

    def feed(self, data: bytes) -> str | None:
        """The name in lower case, None until it has come. Not called again after that.

        Raises WireError for what is no TLS, names nobody, or is longer than MAX_HELLO.
        """
        self._received += data
        self._incoming.write(data)
        name = self._names.shake(self._tls)
        if name == "":
            raise WireError("the client does not say whom it wants")
        if name is None and len(self._received) >= MAX_HELLO:
            raise WireError(f"no name came within {MAX_HELLO} bytes")
        return None if name is None else name.lower()

    def refusal(self) -> bytes:
        """The TLS alert unrecognized_name, for a client whose name nobody holds."""
        return self._outgoing.read()
