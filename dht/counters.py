"""What the table did, as numbers that only rise: for status, metrics and tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DhtCounters:
    """Counts since start."""

    lookups: int = 0
    """Iterative look-ups made, for records and for places to store them."""
    rpcs: int = 0
    """Requests sent."""
    failures: int = 0
    """Requests that got no proper answer."""
    served: int = 0
    """Requests answered."""
    hits: int = 0
    """Searches that found at least one record."""
    misses: int = 0
    """Searches that found none."""
    published: int = 0
    """Own records stored with at least one holder."""
    unpublished: int = 0
    """Own records that no holder took; they are tried again."""
    refused: int = 0
    """Records from peers that were not believed or not held."""
