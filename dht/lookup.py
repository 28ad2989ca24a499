"""One iterative look-up as a core without I/O: whom to ask next, and when it is over.

Instead of the package's rounds, up to alpha requests are in flight at any time. A request that
stays unanswered for the learned patience stops counting, so that dead nodes cost one slot for a
moment instead of a round; its answer is still welcome.

A look-up walks several paths side by side, each towards a place of its own. No node is asked on two
of them, and what a node names is followed on its own path only, so that a liar misleads one path
(S/Kademlia, section 4.4).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

from dht.contact import Contact
from dht.networks import Bounds, Network, NetworkCount
from dht.path import Path
from dht.routing import K
from mesh.ids import NodeId

ALPHA = 5
"""Requests in flight: as many as the holders that end a search, or it would take two rounds."""
MAX_REQUESTS = 120
"""Requests one look-up may make, whatever its peers name; each path has an equal share."""
BESIDE = 3
"""Of how many nearest a path beside the key's takes the cheapest first: farther ones may already be
those that crowd around the key."""
NO_BOUNDS = Bounds(MAX_REQUESTS, MAX_REQUESTS)


class Lookup:
    """Feed it answers and failures; it says whom to ask. Over when `done`."""

    def __init__(
        self,
        own: NodeId,
        key: bytes,
        contacts: Iterable[Contact],
        *,
        k: int = K,
        alpha: int = ALPHA,
        entries: Sequence[bytes] = (),
        bounds: Bounds | None = None,
        informants: bool = True,
        votes_wanted: int = MAX_REQUESTS,
        prefer: Callable[[Contact], bool] = lambda contact: False,
    ) -> None:
        """`entries`: places beside the key that further paths lead to. `bounds`: nodes of one
        network that are listened to. `votes_wanted`: after a first vote nobody further is asked
        while those under way may bring so many. `prefer`: contacts that cost less to ask, taken
        first among the k nearest.
        """
        self._key = int.from_bytes(key, "big")
        self._k = k
        self._alpha = alpha
        self._informants = informants
        self._wanted = votes_wanted
        self._networks = NetworkCount(bounds or NO_BOUNDS)
        self._due: dict[NodeId, float] = {}
        self._overdue: dict[NodeId, Contact] = {}
        self._asked: dict[NodeId, Path] = {}
        self._answered: dict[NodeId, Contact] = {}
        contacts = list(contacts)
        most = MAX_REQUESTS // (1 + len(entries))
        among = [k] + [BESIDE] * len(entries)
        self.paths = [
            Path(place, own, k, prefer, most=most, preferred_among=nearest)
            for place, nearest in zip((key, *entries), among, strict=True)
        ]
        for path in self.paths:
            path.learn(None, contacts)

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return len(self._asked)

    @property
    def done(self) -> bool:
        """True when the k nearest that can be had have answered."""
        if self._due or (self._open_paths() and not self._may_suffice()):
            return False
        return bool(self._answered) or not self._overdue

    @property
    def votes(self) -> int:
        """Holders whose word counts, on all paths."""
        return sum(path.votes for path in self.paths)

    @property
    def heard_everywhere(self) -> bool:
        """True when each path has a vote, or has come to its end without."""
        waiting = {self._asked[node] for node in self._due}
        open_paths = self._open_paths()
        return not any(
            not path.votes and (path in waiting or path in open_paths) for path in self.paths
        )

    @property
    def wake_at(self) -> float | None:
        """When the next request becomes overdue; None when none is being waited for."""
        return min(self._due.values(), default=None)

    def next(self, now: float, patience: float) -> list[Contact]:
        """Whom to ask now. Each contact is named once; its answer or failure must be fed back."""
        self._give_up_on_late(now)
        chosen: list[Contact] = []
        while len(self._due) < self._alpha and not self._may_suffice():
            ready = self._open_paths()
            if not ready:
                break
            path = min(ready, key=self._turn)
            contact = path.take(self._asked, self._networks)
            if contact is None:
                break
            self._asked[contact.node] = path
            self._due[contact.node] = now + patience
            chosen.append(contact)
        return chosen

    def answered(
        self, node: NodeId, nearer: Sequence[Contact], network: Network | None = None
    ) -> bool:
        """A contact answered, perhaps late, and named others. `network`: where it was found to be.

        False when it is not listened to: nobody asked it, or its network has been heard enough.
        """
        path = self._asked.get(node)
        if path is None or node in self._answered:
            return False
        self._due.pop(node, None)
        self._overdue.pop(node, None)
        path.proved(node)
        if not self._networks.take(network):
            path.drop(node)
            return False
        self._answered[node] = path.restore(node)
        path.learn(node, nearer)
        return True

    def failed(self, node: NodeId) -> None:
        """A contact could not be reached or answered nonsense."""
        self._due.pop(node, None)
        if self._overdue.pop(node, None) is None:
            self._disappoint(node)
        for path in self.paths:
            path.drop(node)

    def place_of(self, node: NodeId) -> bytes:
        """Where the path leads on which a node is asked."""
        return self._asked[node].place

    def vote(self, node: NodeId) -> None:
        """Count a holder that was listened to."""
        if node in self._answered:
            self._asked[node].votes += 1

    def nearest(self, k: int | None = None, key: int | None = None) -> list[Contact]:
        """Those of the nearest that answered, nearest first: where a record belongs."""
        target = self._key if key is None else key
        answered = self._answered.values()
        return heapq.nsmallest(k or self._k, answered, key=lambda each: each.long_id ^ target)

    def all_answered(self) -> list[Contact]:
        """Everybody that was listened to."""
        return list(self._answered.values())

    def _open_paths(self) -> list[Path]:
        return [path for path in self.paths if path.may_ask(self._asked, self._networks)]

    def _may_suffice(self) -> bool:
        """Whether the requests under way may bring every vote that is wanted still."""
        if not self.votes or self.votes + len(self._due) < self._wanted:
            return False
        waiting = {self._asked[node] for node in self._due}
        return all(path.votes or path in waiting for path in self.paths)

    def _turn(self, path: Path) -> tuple[int, int]:
        """Paths without votes first, then those that wait for the fewest answers."""
        waiting = sum(self._asked[node] is path for node in self._due)
        return path.votes, waiting

    def _give_up_on_late(self, now: float) -> None:
        late = [node for node, due in self._due.items() if due <= now]
        for node in late:
            del self._due[node]
            self._overdue[node] = self._asked[node].contact(node)
            self._disappoint(node)
            for path in self.paths:
                path.drop(node)

    def _disappoint(self, node: NodeId) -> None:
        if self._informants and (path := self._asked.get(node)) is not None:
            path.disappointed(node, self._asked)
