"""Raises the level of the group's state once every member's release knows the next one."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable

from coordinator.group.caller import NotAnswered, ask_member
from coordinator.group.group import Group
from coordinator.state.levels import LATEST
from coordinator.state.state import SqliteState
from mesh.clock import Clock
from mesh.errors import LinkError, NoQuorum
from mesh.ids import NodeId
from mesh.ports import Links
from mesh.wire.commands import ID_BYTES, Command, RaiseLevel, encode_command
from mesh.wire.group import AskLevel, Level

log = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds between two looks whether the level can be raised, while it is not the latest."""
LOOK_LATER = 5.0
"""The same after a member could not say that it knows the next level: it must be updated first."""
ASK_SECONDS = 2.0
DECIDE_SECONDS = 5.0


class Raising:
    """Runs at every coordinator; only the leader does something."""

    def __init__(
        self,
        *,
        own: NodeId,
        group: Group,
        state: Callable[[], SqliteState | None],
        leading: Callable[[], int | None],
        links: Links,
        clock: Clock,
    ) -> None:
        self._own = own
        self._group = group
        self._state = state
        self._leading = leading
        self._links = links
        self._clock = clock

    async def run(self) -> None:
        """Returns when the state has the latest level that this release knows."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            state = self._state()
            if state is None or self._leading() is None:
                continue
            if state.level >= LATEST:
                return
            if await self._all_know(state.level + 1):
                await self._raise(state.level + 1)
            else:
                await asyncio.sleep(LOOK_LATER)

    async def _all_know(self, level: int) -> bool:
        status = self._group.status()
        if status is None:
            return False
        others = {*status.members.voters, *status.members.standbys} - {self._own}
        return await self._know(sorted(others), level)

    async def _know(self, nodes: Iterable[NodeId], level: int) -> bool:
        for node in nodes:
            link = self._links.get(node)
            if link is None:
                return False
            try:
                answer = await ask_member(link, AskLevel(), timeout=ASK_SECONDS)
            except (NotAnswered, LinkError) as error:
                log.debug("%s does not tell which level it knows: %s", node[:8], error)
                return False
            if not isinstance(answer, Level) or answer.level < level:
                log.info("the group stays below level %d until %s is updated", level, node[:8])
                return False
        return True

    async def _raise(self, level: int) -> None:
        command = Command(secrets.token_hex(ID_BYTES), self._clock.wall(), RaiseLevel(level))
        try:
            await self._group.propose(encode_command(command), timeout=DECIDE_SECONDS)
            log.info("the group's state has level %d", level)
        except (NoQuorum, TimeoutError) as error:
            log.debug("the level was not raised: %s", error)
