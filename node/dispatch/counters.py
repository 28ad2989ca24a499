"""What the dispatcher did since start, for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DispatchCounters:
    """Only ever rise. A job that loses its worker is restarted, resumed or neither."""

    submitted: int = 0
    local: int = 0
    remote: int = 0
    retries: int = 0
    lookups: int = 0
    restarted: int = 0
    """Began anew elsewhere: nothing of the answer had been given out."""
    resumed: int = 0
    """Went on elsewhere after what had been given out."""
    not_resumable: int = 0
    """Ended in an error: to go on would have been wrong, or nobody could."""
