"""The places a node is meant to reach: what its owner configured, and what its mesh told it. Pure.

Nothing else is ever contacted: no public resolver, time server or "what is my address" service.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from mesh.links.pipe import parse_address
from node.doctor.patient import Patient

Kind = Literal["edge router", "node", "relay", "named place"]

MAX_TARGETS = 24
"""Places tried; who configures more has the same trouble with most of them."""
HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Target:
    """One place, and why it matters."""

    kind: Kind
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind} {host}:{self.port}"

    @property
    def origin(self) -> str:
        """Base URL to ask over HTTP; only for schemes that speak it."""
        secure = self.scheme in ("https", "wss")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if secure else 'http'}://{host}:{self.port}"

    @property
    def speaks_http(self) -> bool:
        """An HTTP server answers there, with its clock in every answer."""
        return self.scheme in ("http", "https", "ws", "wss")


def targets_of(patient: Patient) -> tuple[Target, ...]:
    """Edge routers, then nodes to join through, relays, and what the user named; each once."""
    found: list[Target] = []
    if patient.config is not None:
        found += [target_of_url("edge router", url) for url in patient.config.edge]
        found += _of_addresses("node", [join.url for join in patient.config.join])
    found += relays_of(patient)
    found += _of_addresses("named place", [join.url for join in patient.named])
    unique = {(target.host, target.port): target for target in reversed(found)}
    return tuple(reversed(unique.values()))[:MAX_TARGETS]


def relays_of(patient: Patient) -> tuple[Target, ...]:
    """Where the relays are that the running node advertises (relay://HOST:PORT/RELAY/NODE)."""
    addresses = patient.answer.get("addresses") if patient.answer is not None else None
    texts = [text for text in addresses or () if isinstance(text, str)]
    places = [urlsplit(text).netloc for text in texts if text.startswith("relay://")]
    urls = [f"tcp://{place}" for place in dict.fromkeys(places) if place]
    return tuple(_of_addresses("relay", urls))[:MAX_TARGETS]


def target_of_url(kind: Kind, url: str) -> Target:
    """The place behind an http or https URL."""
    parts = urlsplit(url)
    port = parts.port or (HTTPS_PORT if parts.scheme == "https" else 80)
    return Target(kind, parts.scheme, parts.hostname or "", port)


def _of_addresses(kind: Kind, urls: Iterable[str]) -> list[Target]:
    found = []
    for url in urls:
        try:
            address = parse_address(url)
        except ValueError:
            continue  # a relay's address that this release cannot read
        found.append(Target(kind, address.scheme, address.host, address.port))
    return found
