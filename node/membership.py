"""What a node that joined by a ticket remembers: its mesh, whom to ask, and when it was granted.

In the file `membership` of the data folder; a later `electrons up` without any setting goes back
to the same mesh. The grant itself stands in the file `grants` (`node.standing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import RecordRejected, StorageError, WireError
from mesh.identity.charter import decode_charter
from mesh.identity.grants import Grant
from mesh.identity.private_file import read_private, write_private
from mesh.identity.ticket import MAX_CONTACTS, Contact
from mesh.ids import MeshId
from mesh.wire import fields
from node.config_sources import Given
from node.config_values import BadValue, parse_path

MEMBERSHIP_FILE = "membership"
WHAT_MEMBERSHIP = "the file that says which mesh this node joined"
MAX_FILE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Membership:
    """A mesh that this node was admitted to."""

    mesh_id: MeshId
    contacts: tuple[Contact, ...]
    """Coordinators as the ticket named them; those met later are found through the mesh."""
    granted_at: float
    """Unix seconds of the latest grant, by this node's clock."""


def read_membership(data_dir: Path) -> Membership | None:
    """None where the node joined no mesh by a ticket. Raises StorageError."""
    data = read_private(data_dir / MEMBERSHIP_FILE, WHAT_MEMBERSHIP)
    if data is None:
        return None
    try:
        mesh_id, contacts, granted_at = fields.unpack(data, most=MAX_FILE)[:3]
        listed = fields.listed(contacts, most=MAX_CONTACTS)
        return Membership(
            MeshId(fields.node_id(mesh_id)),
            tuple(map(_contact, listed)),
            fields.seconds(granted_at),
        )
    except (WireError, ValueError):
        raise StorageError(
            f"{data_dir / MEMBERSHIP_FILE} is damaged: remove it and join with a new ticket"
        ) from None


def keep_membership(data_dir: Path, membership: Membership) -> None:
    """Remember it for later starts. Raises StorageError."""
    contacts = [[bytes.fromhex(c.node_id), list(c.addresses)] for c in membership.contacts]
    mesh_id = bytes.fromhex(membership.mesh_id)
    data = fields.pack([mesh_id, contacts, float(membership.granted_at)])
    write_private(data_dir / MEMBERSHIP_FILE, data, WHAT_MEMBERSHIP)


def with_membership(given: Mapping[str, Given]) -> dict[str, Given]:
    """Settings, data_dir among them, with the joined mesh where they name no other.

    Raises StorageError.
    """
    settings = dict(given)
    try:
        data_dir = parse_path(given["data_dir"].value)
    except BadValue:
        return settings  # whoever checks the settings says so in better words
    membership = read_membership(data_dir)
    if membership is None:
        return settings
    origin = str(data_dir / MEMBERSHIP_FILE)
    network = settings.setdefault("network", Given(membership.mesh_id, origin))
    if str(network.value).partition("+")[0] == membership.mesh_id:
        settings.setdefault("join", Given(join_addresses(membership), origin))
    return settings


def join_addresses(membership: Membership) -> list[str]:
    """The contacts as `--join` takes them."""
    found = []
    for contact in membership.contacts:
        for url in contact.addresses:
            scheme, _, place = url.partition("://")
            if scheme in ("tcp", "ws", "wss"):
                found.append(f"{scheme}://{contact.node_id}@{place}")
    return found


def newest_grant(texts: Sequence[str], mesh_id: MeshId) -> Grant | None:
    """The grant by a coordinator that lasts longest; None where there is none in that mesh."""
    found = []
    for text in texts:
        try:
            grant = decode_charter(text).grant
        except RecordRejected:
            continue
        if grant.issuer is not None and grant.mesh_id == mesh_id:
            found.append(grant)
    return max(found, key=lambda grant: grant.not_after, default=None)


def _contact(value: object) -> Contact:
    parts = fields.listed(value, most=8)
    if len(parts) < 2:
        raise WireError("a contact has too few fields")
    return Contact(fields.node_id(parts[0]), fields.addresses(parts[1]))
