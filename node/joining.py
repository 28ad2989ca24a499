"""Joins a mesh by a ticket before the node starts: redeems it, keeps the grant and the way back.

The node's links are made anew afterwards, so that every peer sees the grant in the handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mesh.admission import AdmissionRefused
from mesh.clock import Clock, SystemClock
from mesh.errors import ConfigError, RecordRejected
from mesh.identity.boot import Boot, next_boot
from mesh.identity.charter import Charter, encode_charter
from mesh.identity.grants import Grant
from mesh.identity.keys import NodeKey
from mesh.identity.ticket import Contact, Ticket, check_ticket, decode_ticket
from mesh.identity.trust import Trust
from mesh.links.pool import LinkPool
from mesh.links.proxy import ProxyRoutes
from mesh.links.reception import Introduction
from mesh.ports import Link
from mesh.storage.folder import DataFolder
from mesh.storage.format import migrate
from mesh.version import VERSION
from mesh.wire.admission import Redeem, Renew
from node.applying import PASSING, Applicant, apply_to, ask_for_grant
from node.membership import Membership, keep_membership, newest_grant, read_membership
from node.not_admitted import NotAdmitted
from node.standing import keep_charter, read_charters

KEY_FILE = "node.key"
BOOT_FILE = "boot"
JOIN_SECONDS = 60.0
"""How long a newcomer tries before it gives up: coordinators may be electing a leader."""
FIRST_PAUSE, MOST_PAUSE = 0.5, 5.0

Step = Literal["redeem", "renew", "nothing"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Joined:
    """What came of a ticket."""

    mesh_id: str
    roles: tuple[str, ...]
    fresh: bool
    """False: the node was a member already, and the ticket was not used."""


def read_ticket(text: str) -> Ticket:
    """The ticket that was pasted. Raises ConfigError in words for who pasted it."""
    try:
        return decode_ticket(text)
    except RecordRejected as error:
        # Never the text itself: it holds the secret, and errors end up in logs.
        raise ConfigError("ticket", "what was pasted", str(error)) from None


def next_step(
    ticket: Ticket, membership: Membership | None, grant: Grant | None, now_wall: float
) -> Step:
    """What a node with these papers does with a ticket. Raises ConfigError for another mesh."""
    if membership is None:
        return "redeem"
    if membership.mesh_id != ticket.mesh_id:
        allowed = "this data folder is a member of another mesh: give another one by --data-dir"
        raise ConfigError("ticket", f"for mesh {ticket.mesh_id}", allowed)
    if grant is None or not set(ticket.roles) <= set(grant.roles):
        return "redeem"
    return "nothing" if now_wall < grant.not_after else "renew"


def join_mesh(
    ticket: Ticket,
    data_dir: Path,
    *,
    proxies: ProxyRoutes | None = None,
    patience: float = JOIN_SECONDS,
    say: Say = lambda _: None,
) -> Joined:
    """Make this data folder a member's. Raises NotAdmitted, ConfigError or StorageError.

    `say` is told what takes so long.
    """
    with DataFolder.open(data_dir) as folder:
        migrate(folder.path)
        membership = read_membership(data_dir)
        key = NodeKey.load_or_create(data_dir / KEY_FILE)
        held = newest_grant(read_charters(data_dir), ticket.mesh_id)
        clock = SystemClock()
        step = next_step(ticket, membership, held, clock.wall())
        if step == "nothing" and held is not None:
            return Joined(ticket.mesh_id, held.roles, fresh=False)
        boot = next_boot(data_dir / BOOT_FILE)
        joiner = _Joiner(ticket, key, boot, clock, proxies, patience, say)
        grant = asyncio.run(joiner.run(step))
        keep_charter(data_dir, encode_charter(Charter(grant)))
        # Last: a membership without a grant would make a node that is turned away everywhere.
        contacts = ticket.contacts
        keep_membership(data_dir, Membership(ticket.mesh_id, contacts, clock.wall()))
    return Joined(ticket.mesh_id, grant.roles, fresh=True)


class _Joiner:
    """Asks until somebody decides, or patience ends."""

    def __init__(
        self,
        ticket: Ticket,
        key: NodeKey,
        boot: Boot,
        clock: Clock,
        proxies: ProxyRoutes | None,
        patience: float,
        say: Say,
    ) -> None:
        self._ticket = ticket
        self._clock = clock
        self._patience = patience
        self._say = say
        self._applicant = Applicant(key.node_id, ticket.mesh_id, clock.wall)
        self._pool = LinkPool(
            key=key,
            mesh_id=ticket.mesh_id,
            boot=boot,
            introduce=lambda: Introduction(software=f"distributed-electrons/{VERSION}"),
            trust=Trust(ticket.mesh_id, wall=clock.wall, closed=True),
            proxies=proxies,
        )

    async def run(self, step: Step) -> Grant:
        """The grant. Raises NotAdmitted."""
        await self._pool.start()
        try:
            if step == "renew":
                try:
                    return await self._ask(Renew())
                except NotAdmitted:
                    pass  # then the ticket must do
            return await self._redeem()
        finally:
            await self._pool.close()

    async def _redeem(self) -> Grant:
        try:
            check_ticket(self._ticket, now_wall=self._clock.wall())
        except RecordRejected as error:
            raise NotAdmitted(str(error)) from None
        return await self._ask(Redeem(self._ticket.secret))

    async def _ask(self, request: Redeem | Renew) -> Grant:
        end, pause = self._clock.now() + self._patience, FIRST_PAUSE
        while True:
            try:
                contacts = self._ticket.contacts
                return await ask_for_grant(self._applicant, request, contacts, self._reach)
            except AdmissionRefused as refusal:
                if refusal.code not in PASSING or self._clock.now() + pause > end:
                    raise NotAdmitted(str(refusal)) from None
                self._say(f"not admitted yet: {refusal}; trying again")
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE)

    async def _reach(self, contact: Contact) -> Link:
        return await apply_to(self._pool, contact, self._clock.wall)
