"""Which nodes and grants count no more: numbered lists, signed by the root or a coordinator.

Everybody keeps the newest list of each signer, and what is revoked is the union of them: no signer
can let in again whom another has put out. Lists that say nothing more than newer ones are dropped,
since coordinators sign all that their group has decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mesh.errors import RecordRejected
from mesh.identity.grants import CLOCK_TOLERANCE, Grant, check_grant, encode_grant
from mesh.identity.keys import SigningKey
from mesh.identity.signing import sign, verify
from mesh.ids import MeshId, NodeId, hash_key
from mesh.wire import fields

PURPOSE = "revocations"
MAX_ENTRIES = 1024
"""Nodes in one list; an entry ends with the last grant it is about."""
MAX_SERIALS = 8
"""Grants of one node that an entry names; to revoke more, name the node."""
MAX_LISTS = 4
"""Lists of different signers that are kept."""
MAX_SIGNERS = 64
"""Signers whose newest number is remembered; the oldest is forgotten first."""
MAX_PAYLOAD = 128 * 1024
"""Bytes of what is signed."""
MAX_AHEAD = 86_400.0
"""Seconds a list may have been issued in the future by this node's clock."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """One node of which nothing, or of which certain grants, are believed until `until`."""

    node_id: NodeId
    until: float
    """Unix seconds at which the last grant it is about has expired."""
    serials: tuple[str, ...] = ()
    """Only these grants; empty: the node itself is removed."""


@dataclass(frozen=True, slots=True)
class Revocations:
    """A signed list. A higher `number` of the same signer replaces it."""

    mesh_id: MeshId
    number: int
    entries: tuple[Revoked, ...]
    issued_at: float
    """Unix seconds."""
    issuer_key: bytes
    signature: bytes
    issuer: Grant | None = None
    """The signing coordinator's grant, signed by the root; None when the root key signed."""

    @property
    def issuer_id(self) -> str:
        """The mesh id when the root signed, else the coordinator's node id."""
        return hash_key(self.issuer_key)


@dataclass(frozen=True, slots=True)
class Sentence:
    """What the lists a node holds come to at a moment; made by `sum_up`."""

    nodes: frozenset[NodeId] = frozenset()
    serials: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """What `check_grant` takes as `revoked`."""
        return self.nodes | self.serials


@dataclass(frozen=True, slots=True)
class Held:
    """The lists this node believes, newest first; never changed, only replaced."""

    lists: tuple[Revocations, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """The highest number seen of each signer, also of lists that were dropped as said already."""


def sign_revocations(
    key: SigningKey,
    *,
    mesh_id: MeshId,
    number: int,
    entries: Sequence[Revoked],
    issued_at: float,
    issuer: Grant | None = None,
) -> Revocations:
    """Sign a list with the root key, or with a coordinator's key and its root-signed grant.

    Raises ValueError when it is too long.
    """
    ordered = tuple(sorted(entries, key=lambda entry: entry.node_id))
    payload = pack_payload(number, ordered, issued_at)
    if len(entries) > MAX_ENTRIES or len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a list of revocations holds at most {MAX_ENTRIES} entries")
    signature = sign(key, PURPOSE, mesh_id, payload)
    return Revocations(
        mesh_id, number, ordered, float(issued_at), key.public_key, signature, issuer
    )


def check_revocations(
    given: Revocations, *, mesh_id: MeshId, now_wall: float, revoked: Iterable[str] = ()
) -> None:
    """Raises RecordRejected with the reason. `revoked` as for `check_grant`."""
    if given.mesh_id != mesh_id:
        raise RecordRejected("the list of revocations is for another mesh")
    if given.issued_at > now_wall + MAX_AHEAD:
        raise RecordRejected("the list of revocations was issued in the future")
    if len(given.entries) > MAX_ENTRIES:
        raise RecordRejected("the list of revocations is too long")
    if hash_key(given.issuer_key) != mesh_id:
        _check_issuer(given, mesh_id, now_wall, frozenset(revoked))
    payload = pack_payload(given.number, given.entries, given.issued_at)
    if not verify(given.issuer_key, PURPOSE, mesh_id, payload, given.signature):
        raise RecordRejected("the list of revocations is forged")


def _check_issuer(
    given: Revocations, mesh_id: MeshId, now_wall: float, revoked: frozenset[str]
) -> None:
    grant = given.issuer
    if grant is None or hash_key(grant.issuer_key) != mesh_id:
        raise RecordRejected("the list's signer was not granted by this mesh's root")
    roles = check_grant(
        grant,
        mesh_id=mesh_id,
        node_id=NodeId(given.issuer_id),
        now_wall=now_wall,
        revoked=revoked,
    )
    if "coordinator" not in roles:
        raise RecordRejected("the list's signer is no coordinator")


def is_news(held: Held, given: Revocations) -> bool:
    """Whether the list is newer than what this node has seen of its signer."""
    return given.number > held.numbers.get(given.issuer_id, -1)


def merge(held: Held, given: Revocations, *, now_wall: float) -> Held:
    """Take in a checked list. What is no news changes nothing.

    A list of the root also ends what the nodes it names have signed: that is how a mesh recovers
    from a coordinator that revoked others out of malice.
    """
    if not is_news(held, given):
        return held
    lists = [each for each in held.lists if each.issuer_id != given.issuer_id] + [given]
    kept = _without_said(_without_disowned(lists), now_wall)[:MAX_LISTS]
    numbers = dict(held.numbers)
    numbers.pop(given.issuer_id, None)
    numbers[given.issuer_id] = given.number
    return Held(tuple(kept), MappingProxyType(dict(list(numbers.items())[-MAX_SIGNERS:])))


def is_over(entry: Revoked, now_wall: float) -> bool:
    """Whether every grant that the entry is about has expired by itself."""
    return now_wall > entry.until + CLOCK_TOLERANCE


def sum_up(lists: Iterable[Revocations], now_wall: float) -> Sentence:
    """What is revoked at this time."""
    nodes: set[NodeId] = set()
    serials: set[str] = set()
    for entry in (entry for each in lists for entry in each.entries):
        if not is_over(entry, now_wall):
            serials.update(entry.serials)
            if not entry.serials:
                nodes.add(entry.node_id)
    return Sentence(frozenset(nodes), frozenset(serials))


def _without_disowned(lists: list[Revocations]) -> list[Revocations]:
    """Root's lists, and those of signers that none of them names."""
    roots = [each for each in lists if each.issuer_id == each.mesh_id]
    disowned = {entry.node_id for each in roots for entry in each.entries if not entry.serials}
    return [each for each in lists if each.issuer_id not in disowned]


def _without_said(lists: list[Revocations], now_wall: float) -> list[Revocations]:
    """Newest first, without those that say nothing, or what the ones before say as strongly."""
    kept: list[Revocations] = []
    said: dict[tuple[NodeId, str], float] = {}
    for each in sorted(lists, key=_rank):
        live = [entry for entry in each.entries if not is_over(entry, now_wall)]
        claims = [(claim, entry.until) for entry in live for claim in _claims(entry)]
        news = [(claim, until) for claim, until in claims if said.get(claim, -1.0) < until]
        if news:
            kept.append(each)
        said.update(news)
    return kept


def _rank(given: Revocations) -> tuple[bool, int, str]:
    """The root's list first, then by falling number: lists beyond MAX_LISTS are the oldest."""
    return given.issuer_id != given.mesh_id, -given.number, given.issuer_id


def _claims(entry: Revoked) -> list[tuple[NodeId, str]]:
    return [(entry.node_id, serial) for serial in entry.serials or ("",)]


def pack_payload(number: int, entries: Sequence[Revoked], issued_at: float) -> bytes:
    """The bytes under the signature."""
    return fields.pack([number, float(issued_at), [pack_entry(entry) for entry in entries]])


def pack_entry(entry: Revoked) -> list[object]:
    """An entry as plain values."""
    return [bytes.fromhex(entry.node_id), float(entry.until), list(entry.serials)]


def pack_issuer(given: Revocations) -> bytes | None:
    """The signer's grant as bytes; None when the root signed."""
    return None if given.issuer is None else encode_grant(given.issuer)
