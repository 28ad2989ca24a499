"""Certificate and key of the HTTP port: two PEM files, read again when they change."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from mesh.errors import ElectronsError

MAX_PEM = 256 * 1024
"""Bytes of one file; a chain has a few kilobytes."""
ALPN = "http/1.1"

_Stamp = tuple[tuple[int, int, int], ...]


class TlsFault(ElectronsError):
    """The files cannot be used. `path` is the one to mend; the text says how."""

    def __init__(self, path: Path, words: str) -> None:
        super().__init__(words)
        self.path = path


class TlsFiles:
    """Serves the contexts made of the two files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Reads both. Raises TlsFault."""
        self._paths = (certificate, key)
        self._stamp = _stamp_of(self._paths)
        self._context, self.not_after = _read(*self._paths)

    @property
    def context(self) -> ssl.SSLContext:
        """For the next handshake; those of before keep theirs."""
        return self._context

    def refresh(self) -> bool:
        """Read the files again if they have changed; whether they had.

        Raises TlsFault once for files that cannot be used; the old ones stay in use.
        """
        stamp = _stamp_of(self._paths)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._context, self.not_after = _read(*self._paths)
        return True


def _read(certificate: Path, key: Path) -> tuple[ssl.SSLContext, datetime]:
    """A context that is ready to serve, and when its certificate ends. Raises TlsFault."""
    leaf = _leaf(certificate)
    own = _own_public_key(key)
    mine, shown = (
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public in (own, leaf.public_key())
    )
    if mine != shown:
        raise TlsFault(key, f"the key does not belong to the certificate in {certificate}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # what browsers and SDKs may still speak
    context.set_alpn_protocols([ALPN])
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise TlsFault(certificate, f"TLS does not take the certificate ({reason})") from None
    return context, leaf.not_valid_after_utc


def expired(not_after: datetime, now_wall: float) -> bool:
    """Whether browsers refuse a certificate by now."""
    return datetime.fromtimestamp(now_wall, UTC) > not_after


def _leaf(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(_content(path))[0]
    except (ValueError, UnsupportedAlgorithm):
        raise TlsFault(
            path, "the file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
        ) from None


def _own_public_key(path: Path) -> PublicKeyTypes:
    words = "the file holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"
    try:
        return load_pem_private_key(_content(path), None).public_key()
    except TypeError:
        words = "the key is encrypted, and nobody is there to type its password: decrypt it"
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise TlsFault(path, words)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PEM + 1)
    except OSError as error:
        raise TlsFault(path, f"the file cannot be read ({error.strerror or error})") from None
    if len(data) > MAX_PEM:
        raise TlsFault(path, f"the file is larger than {MAX_PEM} bytes")
    return data


def _stamp_of(paths: tuple[Path, ...]) -> _Stamp:
    """What changes when a file is written or replaced; zeros for one that is not there."""
    stamps = []
    for path in paths:
        try:
            found = path.stat()
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        except OSError:
            stamps.append((0, 0, 0))
    return tuple(stamps)
