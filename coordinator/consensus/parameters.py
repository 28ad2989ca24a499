"""Times and bounds of the consensus group."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.wire.consensus import MAX_BATCH_ENTRIES

MAX_IN_FLIGHT = 16
"""Appends on their way to one member; more only fill its link's buffers."""
MAX_UNCOMMITTED = 4096
"""Entries a leader takes before a majority has them: it refuses more, nothing piles up."""
MAX_UNCOMMITTED_BYTES = 16 << 20
MAX_PROPOSALS = 8192
"""Proposals of this member whose fate is open, those of earlier leaderships included."""
MAX_READS = 4096
"""Reads that wait for a majority's word."""
MAX_OUTBOX = 4096
"""Messages that wait for the disk. What comes on top is dropped; the protocol repeats itself."""
MAX_HANDED = 1024
"""Committed entries handed out at once, so that a long catch-up does not hold up the loop."""
CAUGHT_UP = 64
"""A standby this many entries behind, or fewer, can be made a voter without a halt."""
PIN_FACTOR = 20
"""A member that was silent for this many election time-outs no longer pins the log's tail."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Seconds. The election time-out is drawn anew from [`election_min`, `election_max`).

    `election_min` is also how long a heard leader protects itself, and how long a leader lasts
    without a majority; it must be several heartbeats and a slow fsync. `crash_election` replaces
    `election_max` where a closed link said that the leader died.
    """

    heartbeat: float = 0.05
    election_min: float = 0.3
    election_max: float = 0.6
    crash_election: float = 0.1
    chunk_patience: float = 1.0
    """Until a chunk of a snapshot is asked for again."""
    batch_entries: int = MAX_BATCH_ENTRIES
    """Entries in one Append."""
