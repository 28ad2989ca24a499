"""One iterative look-up as a core without I/O: whom to ask next, and when it is over.

Built on the package's crawling heap, with its rounds replaced: up to alpha requests are in flight
at any time. A request that stays unanswered for the learned patience stops counting, so that dead
nodes cost one slot for a moment instead of a round; its answer is still welcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kademlia.node import NodeHeap

from dht.contact import Contact, contact_at
from dht.routing import K
from mesh.ids import NodeId

ALPHA = 4
"""Requests in flight: the paper's 3, and one more since ours may have to dial first."""
MAX_REQUESTS = 120
"""Requests one look-up may make, whatever its peers name."""


class _Shortlist(NodeHeap):  # type: ignore[misc]  # the package ships no types
    """The package's heap without its scan on every push: a look-up pushes nothing twice."""

    def __contains__(self, node: object) -> bool:
        return False


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
        prefer: Callable[[Contact], bool] = lambda contact: False,
    ) -> None:
        """`prefer`: contacts that cost less to ask, taken first among the k nearest."""
        self._own = own
        self._alpha = alpha
        self._prefer = prefer
        self._heap = _Shortlist(contact_at(key), k)
        self._due: dict[NodeId, float] = {}
        self._overdue: dict[NodeId, Contact] = {}
        self._asked: dict[NodeId, Contact] = {}
        self._answered: dict[NodeId, Contact] = {}
        self._known: set[NodeId] = {own}
        self._learn(contacts)

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return len(self._asked)

    @property
    def done(self) -> bool:
        """True when the k nearest that can be had have answered."""
        if self._due or (self._may_ask and self._candidates()):
            return False
        return bool(self._answered) or not self._overdue

    @property
    def wake_at(self) -> float | None:
        """When the next request becomes overdue; None when none is being waited for."""
        return min(self._due.values(), default=None)

    def next(self, now: float, patience: float) -> list[Contact]:
        """Whom to ask now. Each contact is named once; its answer or failure must be fed back."""
        self._give_up_on_late(now)
        chosen = []
        free = min(self._alpha - len(self._due), MAX_REQUESTS - len(self._asked))
        for contact in self._candidates()[: max(0, free)]:
            self._heap.mark_contacted(contact)
            self._asked[contact.node] = contact
            self._due[contact.node] = now + patience
            chosen.append(contact)
        return chosen

    def answered(self, node: NodeId, nearer: Sequence[Contact]) -> None:
        """A contact answered, perhaps late, and named others."""
        if node not in self._asked:
            return
        self._due.pop(node, None)
        late = self._overdue.pop(node, None)
        if late is not None:
            self._heap.push(late)
        self._answered[node] = self._asked[node]
        self._learn(nearer)

    def failed(self, node: NodeId) -> None:
        """A contact could not be reached or answered nonsense."""
        self._due.pop(node, None)
        self._overdue.pop(node, None)
        self._heap.remove([bytes.fromhex(node)])

    def nearest(self) -> list[Contact]:
        """Those of the nearest that answered, nearest first: where a record belongs."""
        return [contact for contact in self._heap if contact.node in self._answered]

    @property
    def _may_ask(self) -> bool:
        return len(self._asked) < MAX_REQUESTS

    def _candidates(self) -> list[Contact]:
        fresh: list[Contact] = self._heap.get_uncontacted()
        return sorted(fresh, key=lambda contact: not self._prefer(contact))

    def _give_up_on_late(self, now: float) -> None:
        late = [node for node, due in self._due.items() if due <= now]
        for node in late:
            del self._due[node]
            self._overdue[node] = self._asked[node]
        self._heap.remove([bytes.fromhex(node) for node in late])

    def _learn(self, contacts: Iterable[Contact]) -> None:
        for contact in contacts:
            if contact.node not in self._known:
                self._known.add(contact.node)
                self._heap.push(contact)
