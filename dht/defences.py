"""What a table does against peers that lie, and how much of it: one frozen object."""

from __future__ import annotations

from dataclasses import dataclass

from dht.networks import Bounds

FEW = Bounds(2, 8)
FEW_IN_ALL = Bounds(8, 8)


@dataclass(frozen=True, slots=True)
class Defences:
    """The defaults are for open meshes, where identities cost nothing."""

    paths: int = 3
    """Look-ups side by side that share no node (S/Kademlia, Baumgart and Mies 2007)."""
    votes: int = 5
    """Holders inside the key's region that are heard before a search ends. With 40 % of all nodes
    hostile all five are in 1 of 100 searches; each further one costs a request."""
    enough: int = 4
    """Holders after which a search does not wait longer for the rest than it took so far."""
    regions: bool = True
    """Store in the whole region of a key, and enter it at other places than the key."""
    informants: bool = True
    """Stop believing contacts named by a node whose earlier ones could not be reached."""
    origins_only: bool = True
    """Hold records only for the node that hands them over: nobody can replay another's."""
    bucket: Bounds | None = FEW
    """Contacts of one network in a bucket of the routing table."""
    table: Bounds | None = FEW_IN_ALL
    """Contacts of one network in the whole routing table."""
    lookup: Bounds | None = FEW
    """Nodes of one network that one look-up listens to, and that hold one record."""


OPEN = Defences()
CLOSED = Defences(paths=1, votes=2, enough=1, bucket=None, table=None, lookup=None)
"""Where every node has a grant an identity is not free, and can be taken back: networks are not
counted, so that a mesh may live in one data centre, and a search ends with two holders."""
NONE = Defences(
    paths=1,
    votes=2,
    enough=1,
    regions=False,
    informants=False,
    origins_only=False,
    bucket=None,
    table=None,
    lookup=None,
)
"""As it was before; for the checks that must fail without defences."""
