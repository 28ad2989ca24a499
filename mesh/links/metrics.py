"""What the link layer counts; read by /metrics and status."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class LinkMetrics:
    """Running totals of one node since it started."""

    links_opened: int = 0
    links_closed: Counter[str] = field(default_factory=Counter)
    """By cause: clean, crash, silence, protocol."""
    handshakes_failed: Counter[str] = field(default_factory=Counter)
    """By class of error; the classes are ours, so peers cannot add any."""
    dials_failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    """Ciphertext as handed to and by the pipe."""
    frames_in: int = 0
    frames_out: int = 0
    streams_in: int = 0
    streams_out: int = 0
    pings: int = 0
