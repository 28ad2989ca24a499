"""Which of two links to the same node stays: pure, and the same answer at both ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mesh.ids import NodeId


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What both ends know of a link alike, and the peer's boot as it said in Hello."""

    dialler: NodeId
    number: int
    """The dialler's count of links it made in this boot."""
    boot_counter: int
    boot_id: str
    relayed: bool = False
    """The pipe goes through a relay."""


class Verdict(Enum):
    """What happens to the new link and to the current one."""

    FIRST = auto()
    """There is no other: use the new one."""
    SUPERSEDE = auto()
    """Use the new one; the current one takes no new streams and ends when it is empty."""
    YIELD = auto()
    """Keep the current one; the new one ends."""
    RESTARTED = auto()
    """The peer has started anew: use the new link, the current one is dead."""
    STALE = auto()
    """The peer is an older boot of a node that is linked already: turn it away."""
    CLONED = auto()
    """Two running nodes share one key and boot counter: turn the newcomer away, tell both."""


def arbitrate(current: LinkFacts | None, new: LinkFacts, *, peer_has_none: bool) -> Verdict:
    """Decide about a new link to a node.

    `peer_has_none`: the peer said that it holds no link to this node, after it must have known of
    the current one; so the current one is lost at its end.
    """
    if current is None:
        return Verdict.FIRST
    if new.boot_counter != current.boot_counter:
        newer = new.boot_counter > current.boot_counter
        return Verdict.RESTARTED if newer else Verdict.STALE
    if new.boot_id != current.boot_id:
        return Verdict.CLONED
    if peer_has_none or _wins(new, current):
        return Verdict.SUPERSEDE
    return Verdict.YIELD


def _wins(new: LinkFacts, current: LinkFacts) -> bool:
    """A direct one stays rather than a relayed one. After simultaneous dials the smaller node id's
    link stays; of one dialler's, the latest."""
    if new.relayed != current.relayed:
        return current.relayed
    if new.dialler != current.dialler:
        return new.dialler < current.dialler
    return new.number > current.number
