"""The certificate with which the HTTP port speaks TLS: whether browsers will still take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient

AREA = "certificate"
DAY = 86_400.0
SOON = 14 * DAY
"""Seconds before its end at which a certificate should have been renewed."""
MAX_PEM = 256 * 1024


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The first certificate of the file. Unix seconds."""

    begins: float
    ends: float


async def examine_certificate(patient: Patient) -> Sequence[Finding]:
    """See `judge_certificate`."""
    path = patient.config.tls_certificate if patient.config is not None else None
    if path is None:
        return [skipped(AREA, "The HTTP port does not speak TLS itself")]
    try:
        facts = await aside(lambda: read_certificate(path))
    except (OSError, ValueError) as error:
        cure = "give a PEM file with the certificate first, and let the node's user read it"
        return [problem(AREA, f"The certificate {path} cannot be read", cure, error)]
    return [judge_certificate(facts, patient.instruments.wall())]


def read_certificate(path: Path) -> CertificateFacts:
    """Raises OSError or ValueError."""
    with path.open("rb") as file:
        first = x509.load_pem_x509_certificates(file.read(MAX_PEM))[0]
    begins, ends = first.not_valid_before_utc, first.not_valid_after_utc
    return CertificateFacts(begins.timestamp(), ends.timestamp())


def judge_certificate(facts: CertificateFacts, wall: float) -> Finding:
    """Whether it is valid now and for a while."""
    days = abs(facts.ends - wall) / DAY
    if wall > facts.ends:
        cure = "renew it, and put the new one into the same file: it is read again by itself"
        return problem(AREA, f"The certificate ran out {days:.0f} days ago", cure)
    if wall < facts.begins:
        cure = "see the finding on the clock; else wait until it begins"
        return problem(AREA, "The certificate is not valid yet", cure)
    if facts.ends - wall < SOON:
        cure = "see why it was not renewed: most authorities do so a month before"
        return warning(AREA, f"The certificate runs out in {days:.0f} days", cure)
    return ok(AREA, f"The certificate is valid for {days:.0f} days")
