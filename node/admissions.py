"""Builds what a node has to do with admission: the door, the office, the renewal of its grant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from coordinator.admission.desk import AdmissionDesk, Issuer
from coordinator.admission.door import AdmissionDoor
from coordinator.admission.publishing import RevocationPublisher
from coordinator.admission.rules import is_issuer, roles_to_grant
from coordinator.state.state import SqliteState
from dht.directory import Directory
from mesh.admission import Admissions
from mesh.capability import NodeRecord
from mesh.clock import Clock
from mesh.errors import RecordRejected
from mesh.identity.charter import Charter, encode_charter
from mesh.identity.grants import Grant, decode_grant
from mesh.identity.keys import NodeKey
from mesh.identity.ticket import MAX_CONTACTS, MAX_URLS, Contact
from mesh.ids import MeshId
from mesh.lifecycle import Tasks
from mesh.links.link import MeshLink
from mesh.links.pool import LinkPool
from mesh.ports import Link, StreamKind
from mesh.wire.admission import Renew
from node.admitting import LocalAdmissions, RemoteAdmissions
from node.applying import Applicant, apply_to, ask_for_grant
from node.config import Config
from node.coordinating import Coordinating
from node.membership import Membership, keep_membership, newest_grant, read_membership
from node.network import is_founded
from node.renewing import Held, Renewing
from node.revoking import Revoking
from node.standing import OwnStanding, read_charters
from node.ticket_office import TicketOffice

Follow = Callable[[SqliteState], None]


@dataclass(frozen=True, slots=True)
class Papers:
    """Who this node is in its mesh, and where that is kept."""

    key: NodeKey
    mesh_id: MeshId
    config: Config
    standing: OwnStanding

    @property
    def data_dir(self) -> Path:
        return self.config.data_dir

    def grants(self) -> Sequence[bytes]:
        """Its own, encoded, as they are now."""
        return self.standing.grants

    def issuer(self) -> Issuer:
        """This node as one that signs for others, where its grant lets it."""
        life = self.config.grant_life
        return Issuer(self.key, self.mesh_id, self.root_signed, life)

    def root_signed(self) -> Grant | None:
        """Its own grant by which it may sign for others; None where it may not."""
        found = [grant for grant in decoded(self.grants()) if is_issuer(grant, self.mesh_id)]
        return max(found, key=lambda grant: grant.not_after, default=None)


@dataclass(frozen=True, slots=True)
class NodeAdmissions:
    """The parts of one node."""

    office: TicketOffice
    renewing: Renewing | None
    """None where the node has no grant that a coordinator could renew."""
    tasks: Tasks

    def start(self) -> None:
        """Begin to renew. Call when links are up."""
        if self.renewing is not None:
            self.tasks.supervise(self.renewing.run, "renewal")

    def note(self) -> str:
        """What the owner should know; "" when all is well."""
        return "" if self.renewing is None else self.renewing.note()


def follow_revocations(
    papers: Papers, revoking: Revoking | None, clock: Clock, tasks: Tasks
) -> Follow:
    """What is told of a coordinator's state, and hands its revocations to everybody."""
    if revoking is None:
        return lambda state: None
    publisher = RevocationPublisher(
        issuer=papers.issuer(), publish=revoking.publish, clock=clock, tasks=tasks
    )
    return publisher.follow


def build_admissions(
    papers: Papers,
    links: LinkPool,
    directory: Directory,
    coordinating: Coordinating | None,
    clock: Clock,
    tasks: Tasks,
    rng: Random,
) -> NodeAdmissions | None:
    """A node's part in admission; a coordinator's door is open from now on.

    None in a mesh without a root key, which everybody may join.
    """
    if not is_founded(papers.config.network):
        return None
    coordinators = Coordinators(links, directory, papers.mesh_id, clock)
    admissions: Admissions = RemoteAdmissions(links, coordinators.records)
    if coordinating is not None:
        coordination = coordinating.coordination
        desk = AdmissionDesk(
            group=coordination.group,
            state=lambda: coordination.state,
            issuer=papers.issuer(),
            clock=clock,
        )
        admissions = LocalAdmissions(desk)
        door = AdmissionDoor(
            desk=desk,
            is_admin=is_admin,
            source_of=source_of,
            signers=coordinators.signers,
            clock=clock,
        )
        links.serve(StreamKind.ADMISSION, door.serve)
    office = TicketOffice(
        admissions=admissions,
        mesh_id=papers.mesh_id,
        grants=papers.grants,
        coordinators=coordinators.records,
    )
    renewing = _build_renewing(papers, coordinators, links, clock, rng)
    return NodeAdmissions(office, renewing, tasks)


class Coordinators:
    """Where coordinators are, as this node sees it now."""

    def __init__(
        self, links: LinkPool, directory: Directory, mesh_id: MeshId, clock: Clock
    ) -> None:
        self._links = links
        self._directory = directory
        self._mesh_id = mesh_id
        self._clock = clock

    def records(self) -> list[NodeRecord]:
        """This node first if it is one, then those that are linked, then others."""
        own = self._directory.own
        peers = [peer.record for peer in self._directory.view.peers()]
        known = [record for record in peers if "coordinator" in record.roles]
        known.sort(key=lambda record: self._links.get(record.node_id) is None)
        return [own, *known] if own is not None and "coordinator" in own.roles else known

    def contacts(self) -> list[Contact]:
        """The same as contacts."""
        found = [record for record in self.records() if record.addresses]
        return [Contact(each.node_id, each.addresses[:MAX_URLS]) for each in found[:MAX_CONTACTS]]

    def signers(self, wanted: Sequence[str]) -> list[Contact]:
        """Linked coordinators whose own grants let them sign for such roles."""
        places = {contact.node_id: contact for contact in self.contacts()}
        return [
            places[link.peer]
            for link in self._links.all()
            if link.peer in places and self._signs(link, wanted)
        ]

    def _signs(self, link: MeshLink, wanted: Sequence[str]) -> bool:
        now = self._clock.wall()
        return any(
            now < grant.not_after
            and is_issuer(grant, self._mesh_id)
            and roles_to_grant(wanted, grant.roles)
            for grant in decoded(link.hello.grants)
        )


def is_admin(link: Link) -> bool:
    """Whether the other end has shown a grant as an administrator. It need not claim the role."""
    return isinstance(link, MeshLink) and "admin" in link.standing.granted


def source_of(link: Link) -> str:
    """The host that a link comes from, for counting."""
    return link.source if isinstance(link, MeshLink) else ""


def decoded(grants: Sequence[bytes]) -> list[Grant]:
    """Those that can be read."""
    found = []
    for data in grants:
        try:
            found.append(decode_grant(data))
        except RecordRejected:
            continue
    return found


def _build_renewing(
    papers: Papers, coordinators: Coordinators, links: LinkPool, clock: Clock, rng: Random
) -> Renewing | None:
    membership = read_membership(papers.data_dir)
    grant = newest_grant(read_charters(papers.data_dir), papers.mesh_id)
    if membership is None or grant is None or membership.mesh_id != papers.mesh_id:
        return None
    applicant = Applicant(papers.key.node_id, papers.mesh_id, clock.wall)

    def contacts() -> list[Contact]:
        known = coordinators.contacts()
        met = {contact.node_id for contact in known}
        return [*known, *(each for each in membership.contacts if each.node_id not in met)]

    async def reach(contact: Contact) -> Link:
        link = links.get(contact.node_id)
        if link is not None:
            return link
        return await apply_to(links, contact, clock.wall)

    async def ask() -> Grant:
        others = [each for each in contacts() if each.node_id != papers.key.node_id]
        return await ask_for_grant(applicant, Renew(), others, reach)

    def keep(renewed: Grant) -> None:
        papers.standing.accept(encode_charter(Charter(renewed)))
        named = tuple(contacts()[:MAX_CONTACTS])
        keep_membership(papers.data_dir, Membership(papers.mesh_id, named, clock.wall()))

    held = Held(grant, membership.granted_at)
    renewing = Renewing(held, ask=ask, keep=keep, clock=clock, rng=rng)
    papers.standing.on_loss(renewing.wake)
    return renewing
