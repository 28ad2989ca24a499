"""A certificate and its key as files: what is wrong with them is said in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from node.gateway.tls_files import MAX_PEM, TlsFault, TlsFiles, expired
from tests.fakes.certificates import PrivateKey, certify

KEYS: list[Callable[[], PrivateKey]] = [
    lambda: ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate,
    lambda: rsa.generate_private_key(65537, 2048),
]


@pytest.mark.parametrize("make", KEYS)
def test_usual_keys_are_taken(tmp_path: Path, make: Callable[[], PrivateKey]) -> None:
    certified = certify(make())
    files = TlsFiles(*certified.write(tmp_path))
    assert files.not_after == certified.certificate.not_valid_after_utc
    assert not files.refresh()


def _no_certificate(certificate: Path, key: Path) -> Path:
    certificate.write_text("hello")
    return certificate


def _swapped(certificate: Path, key: Path) -> Path:
    certificate.write_bytes(key.read_bytes())
    return certificate


def _no_key(certificate: Path, key: Path) -> Path:
    key.write_bytes(certificate.read_bytes())
    return key


def _encrypted(certificate: Path, key: Path) -> Path:
    key.write_bytes(certify().key_pem(b"secret"))
    return key


def _of_another(certificate: Path, key: Path) -> Path:
    key.write_bytes(certify().key_pem())
    return key


def _missing(certificate: Path, key: Path) -> Path:
    key.unlink()
    return key


def _huge(certificate: Path, key: Path) -> Path:
    os.truncate(certificate, MAX_PEM + 1)
    return certificate


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_no_certificate, "no certificate in PEM form"),
        (_swapped, "no certificate in PEM form"),
        (_no_key, "no private key in PEM form"),
        (_encrypted, "the key is encrypted"),
        (_of_another, "does not belong to the certificate"),
        (_missing, "No such file"),
        (_huge, "larger than"),
    ],
)
def test_useless_files_are_named(
    tmp_path: Path, spoil: Callable[[Path, Path], Path], words: str
) -> None:
    certificate, key = certify().write(tmp_path)
    wrong = spoil(certificate, key)
    with pytest.raises(TlsFault, match=words) as fault:
        TlsFiles(certificate, key)
    assert fault.value.path == wrong


def test_a_change_is_seen_once_and_a_fault_told_once(tmp_path: Path) -> None:
    files = TlsFiles(*certify().write(tmp_path))
    before = files.context
    certify().write(tmp_path)
    assert files.refresh()
    assert not files.refresh()
    assert files.context is not before
    (tmp_path / "node.key").write_text("half written")
    with pytest.raises(TlsFault):
        files.refresh()
    assert not files.refresh()


def test_the_end_of_a_certificate(tmp_path: Path) -> None:
    files = TlsFiles(*certify(days=(-2, -1)).write(tmp_path))
    end = files.not_after.timestamp()
    assert expired(files.not_after, end + 1)
    assert not expired(files.not_after, end - 1)
