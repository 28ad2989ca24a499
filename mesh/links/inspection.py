"""Looks at live links again when something was revoked, or when a grant shown there has ended."""

from __future__ import annotations

import asyncio
import logging

from mesh.identity.trust import REMOVED, Trust
from mesh.links.link import MeshLink
from mesh.links.roster import Roster
from mesh.links.standing import weigh
from mesh.wire.frames import GoawayCode

log = logging.getLogger(__name__)

HEARING_SECONDS = 1.0
"""Before a link is cut whose node was not removed but lost a grant: it is to hear of that first, so
that it can have its grant renewed by another coordinator."""
GRANT_REVOKED = "a grant of this node was revoked"
GRANT_ENDED = "a grant that was shown on this link has ended: show a newer one on another"


class Inspection:
    """Cuts links of removed nodes at once, of revoked grants within HEARING_SECONDS; lets links
    empty whose grants have run out."""

    def __init__(self, trust: Trust, roster: Roster) -> None:
        self._trust = trust
        self._roster = roster
        trust.watch(self.enforce)

    def enforce(self) -> None:
        """Something was revoked: end what it is about, streams and all."""
        for link in list(self._roster):
            if self._trust.removed(link.peer):
                log.warning("cut the link of a removed node node=%s", link.peer)
                link.close(GoawayCode.REVOKED, REMOVED)
            elif self._lost_grants(link):
                asyncio.get_running_loop().call_later(HEARING_SECONDS, self._cut, link)

    def _lost_grants(self, link: MeshLink) -> bool:
        return not weigh(link.hello, self._trust).granted >= link.standing.granted

    def _cut(self, link: MeshLink) -> None:
        if not link.closed and self._lost_grants(link):
            log.warning("cut a link since a grant was revoked node=%s", link.peer)
            link.close(GoawayCode.IDLE, GRANT_REVOKED)

    def look(self) -> None:
        """Retire links on which a grant has ended: the peer may come with a newer one."""
        now = self._trust.wall()
        for link in self._roster.current():
            if now > link.standing.until:
                self._roster.retire(link, GoawayCode.IDLE, GRANT_ENDED)
