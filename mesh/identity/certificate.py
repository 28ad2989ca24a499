"""The self-signed certificate by which the dialled side of a link proves its key in TLS."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mesh.errors import HandshakeError
from mesh.identity.keys import NodeKey

_FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_LAST_DAY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""No expiry (RFC 5280 4.1.2.5): the key is the identity, and nodes may have wrong clocks."""


def self_signed_certificate(key: NodeKey) -> bytes:
    """A certificate of the node's own key, as PEM. It says nothing but the key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, key.node_id)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private.public_key())
        .serial_number(1)
        .not_valid_before(_FIRST_DAY)
        .not_valid_after(_LAST_DAY)
    )
    return builder.sign(key.private, algorithm=None).public_bytes(Encoding.PEM)


def certificate_key(der: bytes, now_wall: float) -> bytes:
    """The raw Ed25519 key a certificate holds. Raises HandshakeError for any other content.

    TLS has checked that the other end owns the key. The certificate must be signed by that key and
    not have ended; names in it mean nothing.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        if not isinstance(key, Ed25519PublicKey):
            raise HandshakeError("the other end's certificate does not hold an Ed25519 key")
        certificate.verify_directly_issued_by(certificate)
        ended = certificate.not_valid_after_utc.timestamp() < now_wall
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm) as error:
        words = "is not signed by its own key" if _is_foreign(error) else "cannot be read"
        raise HandshakeError(f"the other end showed a certificate that {words}") from None
    if ended:
        raise HandshakeError("the other end showed a certificate that has expired")
    return key.public_bytes_raw()


def _is_foreign(error: Exception) -> bool:
    return isinstance(error, InvalidSignature) or "issuer" in str(error).lower()
