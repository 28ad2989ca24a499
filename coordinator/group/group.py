"""The replicated log as the rest of a coordinator uses it, wherever the leader is.

A command goes to this member if it leads, else over a link to who does. It carries its own id, so
asking again after a doubt is harmless; what is in doubt at the end is said to be so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from coordinator.consensus.entry import GroupStatus
from coordinator.consensus.refusal import Backlog, NotLeader
from coordinator.group.caller import NotAnswered, ask_member
from coordinator.group.member import Member
from coordinator.state.levels import LATEST
from mesh.clock import Clock
from mesh.consensus import GroupReport
from mesh.errors import LinkError, NoQuorum
from mesh.ids import NodeId
from mesh.ports import Links
from mesh.wire.group import (
    Answer,
    Applied,
    AskLevel,
    AskReport,
    Doubtful,
    Elsewhere,
    Index,
    Level,
    Propose,
    ReadIndex,
    Refused,
    Request,
)

log = logging.getLogger(__name__)

T = TypeVar("T", bytes, int)

LEADERLESS = 1.2
"""Seconds without a leader after which the group is said to be unable to decide.

A call that comes as its member is cut off is refused within 2 s: the leader knows after 0.3 s that
no majority hears it, its followers 0.3 s later.
"""
PAUSE = 0.03
"""Seconds before the leader is looked for again."""
LEAD_CHECK = 0.05
"""Seconds between looks whether this member still leads, while it waits for a majority."""
SILENT = 1.0
"""A member that the leader did not hear for so long is reported as silent."""
NO_LEADER = "too few coordinators are in touch to decide anything; try again when they are back"
IN_DOUBT = "it may yet be decided, or not: look again when the coordinators are back"
NOT_YET = "this coordinator has not been taken into the group yet; try again shortly"


class Group:
    """Implements `ReplicatedLog`. Without a member (not taken in yet) it refuses."""

    def __init__(self, own: NodeId, links: Links, clock: Clock) -> None:
        self._own = own
        self._links = links
        self._clock = clock
        self._member: Member | None = None
        self._id = ""

    def attach(self, member: Member, group: str) -> None:
        """From now on this node is a member."""
        self._member, self._id = member, group

    @property
    def member(self) -> Member | None:
        return self._member

    def status(self) -> GroupStatus | None:
        """The group as seen here; None before this node was taken in."""
        return None if self._member is None else self._member.status()

    def leader(self) -> NodeId | None:
        """Who leads, as far as this node knows."""
        status = self.status()
        return None if status is None else status.leader

    async def propose(self, command: bytes, *, timeout: float) -> bytes:
        """See ReplicatedLog."""
        return await self._persist(lambda left: self._propose_once(command, left), timeout)

    async def read_barrier(self, *, timeout: float) -> int:
        """See ReplicatedLog."""
        deadline = self._clock.now() + timeout
        index = await self._persist(self._read_once, timeout)
        assert self._member is not None
        async with asyncio.timeout(max(0.0, deadline - self._clock.now())):
            await self._member.wait_applied(index)
        return index

    async def answer(self, request: Request, timeout: float) -> Answer:
        """What this member says to another node that takes it for the leader."""
        member = self._member
        if member is None:
            return Refused(NOT_YET)
        if isinstance(request, AskReport):
            return self.report() or Refused(NOT_YET)
        if isinstance(request, AskLevel):
            return Level(LATEST)
        try:
            if isinstance(request, Propose):
                proposal = member.propose(request.command)
                return Applied(await self._while_leading(member, proposal, timeout))
            return Index(await self._while_leading(member, member.read_index(), timeout))
        except NotLeader as error:
            return Elsewhere(error.leader)
        except (Backlog, NoQuorum) as error:
            return Refused(str(error))
        except TimeoutError:
            return Doubtful()

    def report(self) -> GroupReport | None:
        """The group as this member sees it; None before it is one."""
        status = self.status()
        if status is None or self._member is None:
            return None
        sights = self._member.sights()
        silent = tuple(node for node, sight in sights.items() if sight.silence > SILENT)
        return GroupReport(
            group=self._id,
            reporter=self._own,
            leader=status.leader,
            term=status.term,
            members=status.members,
            commit=status.commit,
            applied=status.applied,
            lag=dict(status.lag),
            silent=silent,
        )

    async def leaders_report(self) -> GroupReport | None:
        """The leader's report, which knows who lags; this member's where it cannot be had."""
        own = self.report()
        if own is None or own.leader in (None, self._own):
            return own
        link = None if own.leader is None else self._links.get(own.leader)
        if link is None:
            return own
        try:
            answer = await ask_member(link, AskReport(), timeout=1.0)
        except NotAnswered:
            return own
        return answer if isinstance(answer, GroupReport) else own

    async def _persist(self, once: Callable[[float], Awaitable[T]], timeout: float) -> T:
        """Try until it is done, known not to be, or in doubt at the deadline.

        An election takes well under LEADERLESS; a call waits for it.
        """
        now = self._clock.now()
        deadline, led_at, doubt, reason = now + timeout, now, False, NO_LEADER
        while True:
            try:
                return await once(deadline - now)
            except TimeoutError:
                doubt = True
            except NoQuorum as error:
                reason = str(error)
                log.debug("the group did not take it: %s", error)
            await asyncio.sleep(PAUSE)
            now = self._clock.now()
            led_at = now if self._is_led() else led_at
            leaderless = now - led_at >= LEADERLESS
            if (leaderless or now >= deadline) and doubt:
                raise TimeoutError(IN_DOUBT)
            if leaderless or now >= deadline:
                raise NoQuorum(NO_LEADER if leaderless and self._member else reason)

    def _is_led(self) -> bool:
        return self.leader() is not None

    async def _propose_once(self, command: bytes, left: float) -> bytes:
        member = self._require()
        if member.leads:
            return await self._while_leading(member, member.propose(command), left)
        answer = await self._ask_leader(Propose(command), left)
        if isinstance(answer, Applied):
            return answer.outcome
        raise _as_error(answer)

    async def _read_once(self, left: float) -> int:
        member = self._require()
        if member.leads:
            return await self._while_leading(member, member.read_index(), left)
        answer = await self._ask_leader(ReadIndex(), left)
        if isinstance(answer, Index):
            return answer.index
        raise _as_error(answer)

    async def _while_leading(self, member: Member, future: asyncio.Future[T], left: float) -> T:
        """Wait as long as this member leads: after that somebody else decides what becomes of it.

        Raises NoQuorum, or TimeoutError in doubt.
        """
        deadline = self._clock.now() + left
        while not future.done():
            if not member.leads or self._clock.now() >= deadline:
                raise TimeoutError(IN_DOUBT)
            await asyncio.wait((future,), timeout=LEAD_CHECK)
        return future.result()

    async def _ask_leader(self, request: Request, left: float) -> Answer:
        leader = self.leader()
        link = None if leader is None else self._links.get(leader)
        if link is None:
            raise NotLeader(leader)
        try:
            return await ask_member(link, request, timeout=min(left, LEADERLESS))
        except NotAnswered as error:
            raise TimeoutError(str(error)) from None
        except LinkError as error:
            raise NoQuorum(str(error)) from None

    def _require(self) -> Member:
        if self._member is None:
            raise NoQuorum(NOT_YET)
        return self._member


def _as_error(answer: Answer) -> Exception:
    match answer:
        case Elsewhere(leader):
            return NotLeader(leader)
        case Refused(reason):
            return NoQuorum(reason)
        case Doubtful():
            return TimeoutError("the leader does not know whether it will be decided")
    return NoQuorum("the leader answered something else")
