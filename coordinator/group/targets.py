"""The declared services, in the replicated state."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from coordinator.group.group import Group
from coordinator.state.state import SqliteState
from mesh.clock import Clock
from mesh.errors import InvalidRequest, NoQuorum, WireError
from mesh.targets import ServiceTarget
from mesh.wire.commands import (
    ID_BYTES,
    Change,
    Command,
    DropTarget,
    Outcome,
    SetTarget,
    decode_outcome,
    encode_command,
)

DECIDE_SECONDS = 5.0
"""Patience for a decision; without a leader it is known after 1.5 s that there will be none."""


class GroupTargets:
    """Implements mesh.coverage.Targets on a coordinator."""

    def __init__(self, group: Group, state: Callable[[], SqliteState | None], clock: Clock) -> None:
        self._group = group
        self._state = state
        self._clock = clock

    async def list(self) -> Sequence[ServiceTarget]:
        """See Targets. Reads what a majority has confirmed."""
        await self._group.read_barrier(timeout=DECIDE_SECONDS)
        return self._rows_targets()

    async def set(self, target: ServiceTarget) -> None:
        """See Targets."""
        outcome = await self._decide(SetTarget(target))
        if outcome.refusal:
            raise InvalidRequest(outcome.refusal)

    async def remove(self, name: str) -> bool:
        """See Targets."""
        return not (await self._decide(DropTarget(name))).refusal

    async def _decide(self, change: Change) -> Outcome:
        command_id = secrets.token_hex(ID_BYTES)
        try:
            command = encode_command(Command(command_id, self._clock.wall(), change))
        except WireError as error:
            raise InvalidRequest(str(error)) from None
        return decode_outcome(await self._group.propose(command, timeout=DECIDE_SECONDS))

    def _rows_targets(self) -> Sequence[ServiceTarget]:
        state = self._state()
        if state is None:
            raise NoQuorum("this coordinator has not been taken into the group yet")
        return state.rows.targets()
