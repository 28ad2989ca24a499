"""One path of a look-up: whom it knows, who told it, and whose word it no longer follows."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Container, Iterable

from dht.contact import Contact
from dht.networks import NetworkCount
from mesh.ids import NodeId

DOUBT_AFTER = 3
"""Unreachable contacts an informant may name before it is doubted; more when others answered.
Where 30 % of all nodes have just died, 3 of 100 honest informants name three such at first."""


class Path:
    """Asks its own candidates only; at most `most` of them."""

    def __init__(
        self,
        place: bytes,
        own: NodeId,
        k: int,
        prefer: Callable[[Contact], bool],
        *,
        most: int,
        preferred_among: int,
    ) -> None:
        """`prefer` decides among the first `preferred_among` only."""
        self.place = place
        self.votes = 0
        self._target = int.from_bytes(place, "big")
        self._k = k
        self._order: list[tuple[int, Contact]] = []
        self._prefer = prefer
        self._among = preferred_among
        self._left = most
        self._known: dict[NodeId, Contact] = {own: Contact(own)}
        self._informants: dict[NodeId, NodeId] = {}
        self._proved: dict[NodeId, int] = {}
        self._failed: dict[NodeId, int] = {}
        self._doubted: set[NodeId] = set()
        self._reserve: dict[NodeId, Contact] = {}

    def contact(self, node: NodeId) -> Contact:
        """A contact that this path has taken."""
        return self._known[node]

    def learn(self, informant: NodeId | None, contacts: Iterable[Contact]) -> None:
        """Somebody named contacts; None: this node's own table."""
        if informant in self._doubted:
            return
        for contact in contacts:
            if contact.node not in self._known or contact.node in self._reserve:
                self._reserve.pop(contact.node, None)
                self._known[contact.node] = contact
                self._push(contact)
                if informant is not None:
                    self._informants[contact.node] = informant

    def may_ask(self, asked: Container[NodeId], networks: NetworkCount) -> bool:
        """Whether somebody is left that no path has asked. Turns to the doubted when nobody is."""
        if self._left <= 0:
            return False
        if self._fresh(asked, networks):
            return True
        if len(self._order) >= self._k or not self._reserve:
            return False
        for contact in self._reserve.values():
            self._push(contact)
        self._reserve.clear()
        return bool(self._fresh(asked, networks))

    def take(self, asked: Container[NodeId], networks: NetworkCount) -> Contact | None:
        """The next contact to ask: of the nearest, those first that cost less."""
        fresh = self._fresh(asked, networks)
        if not fresh or self._left <= 0:
            return None
        self._left -= 1
        return next((each for each in fresh[: self._among] if self._prefer(each)), fresh[0])

    def drop(self, node: NodeId) -> None:
        """Follow a contact no more."""
        contact = self._known.get(node)
        if contact is not None and (place := self._place(contact)) is not None:
            del self._order[place]

    def restore(self, node: NodeId) -> Contact:
        """A contact answered, perhaps after it was dropped as late."""
        contact = self._known[node]
        self._push(contact)
        return contact

    def proved(self, node: NodeId) -> None:
        """A contact answered: whoever named it told the truth."""
        informant = self._informants.get(node)
        if informant is not None:
            self._proved[informant] = self._proved.get(informant, 0) + 1

    def disappointed(self, node: NodeId, asked: Container[NodeId]) -> None:
        """A contact did not answer. What its informant named comes last when that names many such.

        Unless others name the same contacts.
        """
        informant = self._informants.get(node)
        if informant is None:
            return
        failed = self._failed[informant] = self._failed.get(informant, 0) + 1
        if failed < DOUBT_AFTER or failed <= 2 * self._proved.get(informant, 0):
            return
        if informant in self._doubted:
            return
        self._doubted.add(informant)
        for node, by in self._informants.items():
            if by == informant and node not in asked:
                self._reserve[node] = self._known[node]
                self.drop(node)

    def _fresh(self, asked: Container[NodeId], networks: NetworkCount) -> list[Contact]:
        """Of the k nearest those nobody asked; whose network was heard enough leaves the list."""
        while True:
            fresh = [each for _, each in self._order[: self._k] if each.node not in asked]
            barred = [each for each in fresh if not networks.fits(each.network)]
            if not barred:
                return fresh
            for each in barred:
                self.drop(each.node)

    def _push(self, contact: Contact) -> None:
        if self._place(contact) is None:
            insort(self._order, (contact.long_id ^ self._target, contact), key=_distance)

    def _place(self, contact: Contact) -> int | None:
        """Where a contact stands in the order."""
        at = bisect_left(self._order, contact.long_id ^ self._target, key=_distance)
        found = at < len(self._order) and self._order[at][1].node == contact.node
        return at if found else None


def _distance(entry: tuple[int, Contact]) -> int:
    return entry[0]
