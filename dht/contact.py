"""A node of the table as the `kademlia` package sees one, with our addresses."""

from __future__ import annotations

from kademlia.node import Node

from dht.networks import Network, network_of_claim
from mesh.ids import NodeId
from mesh.wire.dht import Address

MAX_CONTACT_ADDRESSES = 4
"""Addresses kept and passed on of one contact, so that twenty always fit into an answer."""


class Contact(Node):  # type: ignore[misc]  # the package ships no types
    """A node that holds a part of the table. Equal contacts have equal node ids."""

    long_id: int

    def __init__(
        self,
        node: NodeId,
        addresses: tuple[str, ...] = (),
        *,
        network: Network | None = None,
    ) -> None:
        """`network`: where its link was observed; None when it is local or not known."""
        super().__init__(bytes.fromhex(node))
        self.node = node
        self.addresses = addresses[:MAX_CONTACT_ADDRESSES]
        self._network = network
        self._claims = False

    @classmethod
    def of(cls, address: Address) -> Contact:
        """The contact behind what a peer named, in the network that it claims."""
        contact = cls(address.node, address.addresses)
        contact._claims = True
        return contact

    @property
    def network(self) -> Network | None:
        """Where its link was observed, or else where it claims to be; None when that is local.

        Found out when first asked for: most contacts that peers name are never looked at.
        """
        if self._claims:
            self._network = network_of_claim(self.addresses)
            self._claims = False
        return self._network

    @property
    def address(self) -> Address:
        """What peers are told."""
        return Address(self.node, self.addresses)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Contact) and other.node == self.node

    def __hash__(self) -> int:
        return hash(self.node)

    def __repr__(self) -> str:
        return f"Contact({self.node[:8]})"


def contact_at(key: bytes) -> Contact:
    """A point in the table's space that need not be a node: the target of a look-up."""
    return Contact(NodeId(key.hex()))
