"""Signs the group's revocations, so that nodes which know no coordinator believe them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from coordinator.admission.desk import Issuer
from coordinator.admission.rules import is_issuer
from coordinator.state.admission_rows import AdmissionRows
from coordinator.state.machine import Changes
from coordinator.state.state import SqliteState
from mesh.admission import RevokedNode
from mesh.clock import Clock
from mesh.errors import RecordRejected
from mesh.identity.revocations import Revocations, Revoked, sign_revocations
from mesh.lifecycle import Tasks

log = logging.getLogger(__name__)

TABLE = "revoked_nodes"


def sign_list(
    issuer: Issuer, revoked: Sequence[RevokedNode], number: int, now_wall: float
) -> Revocations | None:
    """A list of all that the group has revoked; None where this coordinator may not sign one."""
    grant = issuer.grant()
    if grant is None or not is_issuer(grant, issuer.mesh_id):
        return None
    return sign_revocations(
        issuer.key,
        mesh_id=issuer.mesh_id,
        number=number,
        entries=[Revoked(each.node, each.until) for each in revoked],
        issued_at=now_wall,
        issuer=grant,
    )


class RevocationPublisher:
    """Every coordinator that may sign does so, as soon as it has applied what was decided.

    Lists are numbered by the place in the log, which never falls; equal ones are no news.
    """

    def __init__(
        self,
        *,
        issuer: Issuer,
        publish: Callable[[Revocations], Awaitable[None]],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._issuer = issuer
        self._publish = publish
        self._clock = clock
        self._tasks = tasks
        self._state: SqliteState | None = None

    def follow(self, state: SqliteState) -> None:
        """The state is open; called once."""
        self._state = state
        state.on_change(self._changed)
        self._tell(state.applied)

    def _changed(self, changes: Changes) -> None:
        if changes.everything or TABLE in changes.rows:
            self._tell(changes.index)

    def _tell(self, number: int) -> None:
        if self._state is None or self._tasks.closing:
            return
        revoked = AdmissionRows(self._state.rows).revoked()
        given = sign_list(self._issuer, revoked, number, self._clock.wall()) if revoked else None
        if given is not None:
            self._tasks.spawn(self._hand_over(given), "publish revocations")

    async def _hand_over(self, given: Revocations) -> None:
        try:
            await self._publish(given)
        except RecordRejected as error:
            log.error("this coordinator's own list of revocations is not believed: %s", error)
