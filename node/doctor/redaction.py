"""Takes out of a report what its reader must not learn. Pure.

What others said (`Finding.detail`) is left out altogether; from the rest known secrets go first,
then whatever looks like one, then what tells who and where somebody is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from node.doctor.finding import Finding

HIDDEN = "[hidden]"
LEAST_SECRET = 4
"""Characters of a known secret; shorter ones would eat ordinary words."""
LEAST_NAME = 2
_SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASS|GRANT|TICKET|CREDENTIAL|AUTH", re.IGNORECASE)
_PROXY_NAMES = re.compile(r"proxy$", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_PASTED = re.compile(r"\belectrons-[a-z]+-[A-Za-z0-9_=-]{8,}")
_KEYS = re.compile(r"\b(?:sk|pk|hf|gsk|ghp|xox[a-z])[-_][A-Za-z0-9_-]{8,}|\bBearer\s+\S+", re.I)
_DIGEST = re.compile(r"sha256:[0-9a-f]{8,}")
_NODE_ID = re.compile(r"\b[0-9a-f]{32,64}\b")
_LONG = re.compile(r"(?<![A-Za-z0-9_/+=.-])(?=[A-Za-z0-9_/+=-]*\d)[A-Za-z0-9_+=-]{20,}(?![\w.])")
_IPV4 = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(?![\d.])")
_IPV6 = re.compile(r"(?<![\w:])((?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4})(?![\w:])", re.IGNORECASE)
_HOME = re.compile(r"(/home|/Users|[A-Za-z]:\\Users)([/\\])[^/\\\s:,)]+")
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b")


@dataclass(frozen=True, slots=True)
class Private:
    """What is known to be nobody else's business."""

    secrets: Collection[str] = ()
    home: str = ""
    user: str = ""
    machine: str = ""
    """The machine's own name."""


def private_of(
    environ: Mapping[str, str], secrets: Collection[str], *, user: str, home: str, machine: str
) -> Private:
    """With the values of variables whose names speak of secrets, and what stands before the @ of
    proxies."""
    found = {value for name, value in environ.items() if _SECRET_NAMES.search(name)}
    for name, value in environ.items():
        if _PROXY_NAMES.search(name) and "@" in value:
            userinfo = value.partition("://")[2].rpartition("@")[0]
            found.update((userinfo, *userinfo.split(":")))
    return Private((*secrets, *found), home, user, machine)


def redact_findings(findings: Collection[Finding], private: Private) -> tuple[Finding, ...]:
    """The findings as a stranger may read them."""
    return tuple(
        replace(
            finding,
            what=redact(finding.what, private),
            cure=redact(finding.cure, private),
            detail="",
        )
        for finding in findings
    )


def redact(text: str, private: Private) -> str:
    """Text without secrets, user and machine names, home folders and full public addresses."""
    for secret in sorted(private.secrets, key=len, reverse=True):
        if len(secret) >= LEAST_SECRET:
            text = text.replace(secret, HIDDEN)
    text = _USERINFO.sub("", text)
    for pattern in (_PASTED, _KEYS, _DIGEST):
        text = pattern.sub(HIDDEN, text)
    if len(private.home) > 1:
        text = text.replace(private.home, "~")
    text = _HOME.sub(r"\1\2[user]", text)
    text = _MAIL.sub(HIDDEN, text)
    text = _NODE_ID.sub(lambda match: f"{match[0][:8]}…", text)
    text = _LONG.sub(HIDDEN, text)
    for name, word in ((private.user, "[user]"), (private.machine, "[machine]")):
        if len(name) >= LEAST_NAME:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text, flags=re.IGNORECASE)
    text = _IPV4.sub(lambda match: _mask(match[1]), text)
    return _IPV6.sub(lambda match: _mask(match[1]), text)


def _mask(text: str) -> str:
    """A public address without its last half; others tell nothing and stay."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if not address.is_global:
        return text
    if address.version == 4:
        return ".".join([*text.split(".")[:2], "x", "x"])
    return ":".join(address.exploded.split(":")[:2]) + ":…"
