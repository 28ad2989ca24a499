"""A self-signed certificate is kept while it fits, and its key for longer."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from mesh.errors import StorageError
from node.door.certificate import CERTIFICATE_FILE, LIFETIME, RENEW_BEFORE, own_certificate

NAME = "alice.mesh.example"
NOW = datetime(2027, 3, 1, tzinfo=UTC)


def kept(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())


def test_it_is_for_the_name_and_private(tmp_path: Path) -> None:
    made = own_certificate(tmp_path, NAME, NOW)
    leaf = kept(tmp_path)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc < NOW + timedelta(days=398)
    assert stat.S_IMODE((tmp_path / CERTIFICATE_FILE).stat().st_mode) == 0o600
    assert made.self_signed
    assert made.context.minimum_version == ssl.TLSVersion.TLSv1_3


def test_it_is_kept_while_it_fits(tmp_path: Path) -> None:
    first = own_certificate(tmp_path, NAME, NOW)
    later = NOW + LIFETIME - RENEW_BEFORE - timedelta(days=2)
    assert own_certificate(tmp_path, NAME, later).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("name", "days"), [("bob.mesh.example", 0), (NAME, LIFETIME.days - RENEW_BEFORE.days)]
)
def test_another_one_has_the_same_key(tmp_path: Path, name: str, days: int) -> None:
    first = own_certificate(tmp_path, NAME, NOW)
    key = kept(tmp_path).public_key()
    second = own_certificate(tmp_path, name, NOW + timedelta(days=days))
    assert second.fingerprint != first.fingerprint
    assert kept(tmp_path).public_key() == key


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    own_certificate(tmp_path, NAME, NOW)
    (tmp_path / CERTIFICATE_FILE).chmod(0o644)
    with pytest.raises(StorageError, match="chmod 600"):
        own_certificate(tmp_path, NAME, NOW)


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    own_certificate(tmp_path, NAME, NOW)
    (tmp_path / CERTIFICATE_FILE).write_bytes(b"-----BEGIN CERTIFICATE-----\nno\n")
    assert own_certificate(tmp_path, NAME, NOW).fingerprint
    assert kept(tmp_path)
