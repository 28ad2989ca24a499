"""Many light newcomers with one ticket: real keys, real links, no daemon around them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from mesh.admission import AdmissionRefused
from mesh.clock import SystemClock
from mesh.identity.boot import Boot
from mesh.identity.grants import Grant
from mesh.identity.keys import NodeKey
from mesh.identity.ticket import Contact, Ticket
from mesh.identity.trust import Trust
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.ports import Link
from mesh.wire.admission import Redeem
from node.applying import PASSING, Applicant, apply_to, ask_for_grant

PATIENCE = 60.0
CLOCK = SystemClock()


@dataclass
class Race:
    """How it ended: every newcomer is told one thing."""

    granted: dict[NodeId, Grant] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def told(self) -> int:
        """Newcomers that know how it ended for them."""
        return len(self.granted) + self.refused.total()


async def race(
    ticket: Ticket, newcomers: int, ended: Race, contacts: tuple[Contact, ...] = ()
) -> None:
    """All ask at once, again and again, until each is let in or refused for good."""
    tasks = Tasks("race")
    places = contacts or ticket.contacts
    running = [
        tasks.spawn(_newcomer(ticket, places, ended, Random(number)), "newcomer")
        for number in range(newcomers)
    ]
    await asyncio.gather(*running)
    await tasks.close()


async def _newcomer(
    ticket: Ticket, contacts: tuple[Contact, ...], ended: Race, rng: Random
) -> None:
    key, mesh_id = NodeKey.generate(), ticket.mesh_id
    trust = Trust(mesh_id, wall=CLOCK.wall, closed=True)
    pool = LinkPool(key=key, mesh_id=mesh_id, boot=Boot(1, "ab" * 8), trust=trust)
    await pool.start()
    applicant = Applicant(key.node_id, mesh_id, CLOCK.wall)

    async def reach(contact: Contact) -> Link:
        return await apply_to(pool, contact, CLOCK.wall)

    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                order = rng.sample(contacts, len(contacts))
                try:
                    request = Redeem(ticket.secret)
                    grant = await ask_for_grant(applicant, request, order, reach)
                except AdmissionRefused as refusal:
                    if refusal.code not in PASSING:
                        ended.refused[refusal.code] += 1
                        return
                    await asyncio.sleep(rng.uniform(0.1, 0.6))
                    continue
                ended.granted[key.node_id] = grant
                return
    finally:
        await pool.close()
