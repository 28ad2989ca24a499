"""Looks at live links again when something was revoked, or when a grant shown there has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mesh.identity.trust import REMOVED, Trust
from mesh.links.roster import Roster
from mesh.links.standing import weigh
from mesh.wire.frames import GoawayCode

log = logging.getLogger(__name__)

GRANT_REVOKED = "a grant of this node was revoked"
GRANT_ENDED = "a grant that was shown on this link has ended: show a newer one on another"


class Inspection:
    """Cuts links of removed nodes at once; lets links empty whose grants have run out."""

    def __init__(self, *, trust: Trust, roster: Roster, wall: Callable[[], float]) -> None:
        self._trust = trust
        self._roster = roster
        self._wall = wall
        trust.watch(self.enforce)

    def enforce(self) -> None:
        """Something was revoked: end what it is about, streams and all."""
        for link in list(self._roster):
            if self._trust.removed(link.peer):
                log.warning("cut the link of a removed node node=%s", link.peer)
                link.close(GoawayCode.REVOKED, REMOVED)
            elif not weigh(link.hello, self._trust).granted >= link.standing.granted:
                log.warning("cut a link since a grant was revoked node=%s", link.peer)
                link.close(GoawayCode.IDLE, GRANT_REVOKED)

    def look(self) -> None:
        """Retire links on which a grant has ended: the peer may come with a newer one."""
        now = self._wall()
        for link in self._roster.current():
            if now > link.standing.until:
                self._roster.retire(link, GoawayCode.IDLE, GRANT_ENDED)
