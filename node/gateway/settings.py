"""How a gateway behaves. Checked by the node's configuration before any socket opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.capability import ServedModel
from mesh.jobs import Privacy
from node.gateway import limits


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Times are seconds. The defaults suit a node on its owner's machine."""

    allowed_origins: tuple[str, ...] = ()
    """Origins whose pages may use this gateway (scheme://host[:port], or "*"). Empty: no CORS."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names answered on loopback beside localhost and loopback addresses, lower case."""
    default_privacy: Privacy = "public"
    """The class of requests that name none."""
    first_byte_seconds: float = 60.0
    """How long a job may wait for its first token before it is refused as overloaded."""
    keep_alive_seconds: float = 15.0
    """Silence on a stream before a comment is sent; below usual proxy time-outs."""
    hold_seconds: float = 1.0
    """How long a queued job's headers are held back, so that they can name who serves it."""
    head_seconds: float = limits.HEAD_SECONDS
    body_seconds: float = limits.BODY_SECONDS
    opening_seconds: float = limits.OPENING_SECONDS
    idle_seconds: float = limits.IDLE_SECONDS
    stall_seconds: float = limits.STALL_SECONDS
    max_connections: int = limits.MAX_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Health:
    """Whether this node should be sent work, and the word for its state."""

    ready: bool
    state: str
    """first, joined, isolated, draining, ..."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Suppliers:
    """Read-only questions the gateway asks the rest of the node. All answer from memory."""

    node_info: Callable[[], Mapping[str, Any]]
    """The body of GET /api/node."""
    own_models: Callable[[], Sequence[ServedModel]]
    health: Callable[[], Health]
    aliases: Callable[[], Mapping[str, str]] = dict
    """Alias to model name, as this node resolves them now."""
    counters: Callable[[], Mapping[str, float]] = dict
    """Figures of links, discovery and jobs for /metrics, by name."""
