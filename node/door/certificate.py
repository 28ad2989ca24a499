"""What a private node shows browsers: the owner's certificate, or one that it signs itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.errors import StorageError
from mesh.identity.private_file import read_private, write_private

CERTIFICATE_FILE = "door.pem"
WHAT = "the public door's certificate"
LIFETIME = timedelta(days=397)
"""Longer ones are refused by some browsers even where a user trusts them."""
RENEW_BEFORE = timedelta(days=30)
_CLOCK_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DoorCertificate:
    """A TLS context that is ready to serve, and what people compare."""

    context: ssl.SSLContext
    fingerprint: str
    """SHA-256 of the certificate in hex with colons, as browsers show it."""
    self_signed: bool


def given_certificate(certificate: Path, key: Path, name: str) -> DoorCertificate | None:
    """The owner's PEM files, if they are for the name. Raises StorageError."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
        if not covers(leaf, name):
            return None
        context = _context()
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise StorageError(f"{certificate} cannot be used with {key} ({error})") from None
    return DoorCertificate(context, _fingerprint(leaf), self_signed=False)


def covers(leaf: x509.Certificate, name: str) -> bool:
    """Whether a certificate is for a host name; a wildcard is for one label (RFC 6125 6.4.3)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    listed = {each.lower() for each in names.get_values_for_type(x509.DNSName)}
    return name in listed or f"*.{name.partition('.')[2]}" in listed


def own_certificate(data_dir: Path, name: str, now: datetime) -> DoorCertificate:
    """Self-signed for a host name; kept in the data folder while it fits. Raises StorageError."""
    path = data_dir / CERTIFICATE_FILE
    pem = read_private(path, WHAT)
    leaf = None if pem is None else _fitting(pem, name, now)
    if leaf is None:
        pem = _sign(_key_in(pem), name, now)
        write_private(path, pem, WHAT)
        leaf = x509.load_pem_x509_certificate(pem)
    context = _context()
    try:
        context.load_cert_chain(path)
    except OSError as error:
        raise StorageError(f"{WHAT} {path} cannot be used ({error}): remove the file") from None
    return DoorCertificate(context, _fingerprint(leaf), self_signed=True)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # whoever comes is a current browser
    context.set_alpn_protocols(["http/1.1"])
    return context


def _fitting(pem: bytes, name: str, now: datetime) -> x509.Certificate | None:
    """The certificate in the file, if it is for the name and will be valid for a while."""
    try:
        leaf = x509.load_pem_x509_certificate(pem)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    fits = names.get_values_for_type(x509.DNSName) == [name]
    return leaf if fits and leaf.not_valid_after_utc - now > RENEW_BEFORE else None


def _key_in(pem: bytes | None) -> ec.EllipticCurvePrivateKey:
    """The key that was used before: who pinned it need not look again."""
    try:
        found = None if pem is None else load_pem_private_key(pem, None)
    except ValueError:
        found = None
    if isinstance(found, ec.EllipticCurvePrivateKey):
        return found
    return ec.generate_private_key(ec.SECP256R1())  # browsers know no Ed25519


def _sign(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> bytes:
    """Key and certificate as PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
        .not_valid_after(now - _CLOCK_TOLERANCE + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _fingerprint(leaf: x509.Certificate) -> str:
    return leaf.fingerprint(SHA256()).hex(":").upper()


def now_utc() -> datetime:
    """The wall clock, by which certificates are valid."""
    return datetime.now(UTC)
