"""A coordinator's part in the group: founding or being taken in, streams, and who is a member.

Only a node whose charter says so founds a group, once. Every other coordinator waits until a leader
takes it in. Nodes of another group are refused: founded groups never merge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random

from coordinator.consensus.entry import Members
from coordinator.consensus.parameters import CAUGHT_UP, Parameters
from coordinator.consensus.refusal import Backlog, ChangeRefused, NotLeader
from coordinator.group.addresses import MemberAddresses
from coordinator.group.folder import GroupFolder
from coordinator.group.group import Group
from coordinator.group.member import Member
from coordinator.group.policy import plan_change
from coordinator.group.raising import Raising
from coordinator.group.shipping import Shipping
from coordinator.group.transport import Transport
from coordinator.state.state import SqliteState
from mesh.clock import Clock
from mesh.errors import StorageError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, Stream, StreamKind
from mesh.wire.consensus import decode
from mesh.wire.group import (
    NO_DISK,
    NOT_GRANTED,
    OTHER_GROUP,
    AskReport,
    Membership,
    Request,
    decode_request,
    encode_answer,
)

log = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds between a leader's looks at who should be a member."""
ANSWER_SECONDS = 5.0
"""What a leader may take to decide another node's command."""
REOPEN_SECONDS = 5.0
"""Between attempts to open the disk of a node that is being taken in."""
HAND_OVER_SECONDS = 0.5
"""An orderly stop waits so long for a successor; more than an election with everybody there."""
HAND_OVER_LOOK = 0.01
MEETS_OTHERS = "a coordinator of another group is about: founded groups never merge"


class Coordination:
    """Call `start` when links are up; `close` after the tasks were closed."""

    def __init__(
        self,
        *,
        own: NodeId,
        founds: bool,
        folder: GroupFolder,
        links: Links,
        addresses: Callable[[NodeId], tuple[str, ...]],
        clock: Clock,
        rng: Random,
        tasks: Tasks,
        on_ready: Callable[[SqliteState], None] = lambda _: None,
        parameters: Parameters | None = None,
    ) -> None:
        """`founds`: the charter gives the right. `on_ready` is called when the state is open."""
        self._own = own
        self._founds = founds
        self._folder = folder
        self._links = links
        self._clock = clock
        self._rng = rng
        self._tasks = tasks
        self._on_ready = on_ready
        self._parameters = parameters
        self._addresses = MemberAddresses(folder.path, addresses)
        self._transport = Transport(
            own=own,
            links=links,
            addresses=self._addresses.find,
            tasks=tasks,
            on_refused=self._refused,
        )
        self._group_id: str | None = None
        self._opening = asyncio.Lock()
        self._state: SqliteState | None = None
        self._problem = ""
        self._open_at = 0.0
        """When opening the disk may be tried again."""
        self._foreign: set[NodeId] = set()
        """Linked coordinators of another group: as many as there are links."""
        self.group = Group(own, links, clock)

    async def start(self) -> None:
        """Open what is on disk, or found, and serve. Raises StorageError."""
        self._folder.end_founding()
        self._group_id = self._folder.group()
        if self._group_id is None and self._founds and self._folder.may_found():
            await self._folder.found(self._own)
            self._group_id = self._folder.group()
        if self._group_id is not None:
            await self._open(self._group_id)
        self._links.serve(StreamKind.CONSENSUS, self.serve)
        self._links.watch(self._on_link)
        for link in self._links.all():
            self._on_link(link, True)
        self._tasks.supervise(self._keep_members, "members")
        raising = Raising(
            own=self._own,
            group=self.group,
            state=lambda: self._state,
            leading=self.leading,
            links=self._links,
            clock=self._clock,
        )
        self._tasks.supervise(raising.run, "level")

    async def close(self) -> None:
        """Close the disk. Safe when nothing was opened."""
        if self.group.member is not None:
            await self.group.member.close()

    async def hand_over(self) -> None:
        """This node stops: let another lead without waiting for an election.

        Returns when another leads, or when that did not happen within HAND_OVER_SECONDS.
        """
        member = self.group.member
        try:
            if member is None or not member.hand_over():
                return
        except (NotLeader, ChangeRefused) as refusal:
            log.debug("the lead was not handed over: %s", refusal)
            return
        for _ in range(round(HAND_OVER_SECONDS / HAND_OVER_LOOK)):
            if self.group.leader() not in (None, self._own):
                return
            await asyncio.sleep(HAND_OVER_LOOK)

    @property
    def state(self) -> SqliteState | None:
        """The state machine; None before this node was taken in."""
        return self._state

    def leading(self) -> int | None:
        """The term while this node leads and hears a majority."""
        status = self.group.status()
        if status is None or status.leader != self._own:
            return None
        member = self.group.member
        return status.term if member is not None and member.leads else None

    def note(self) -> str:
        """What the owner should know; "" when all is well."""
        if self._problem:
            return self._problem
        if self._foreign:
            return MEETS_OTHERS
        if self.group.member is None:
            return "this coordinator waits to be taken into the group"
        status = self.group.status()
        led = status is not None and status.leader is not None
        return "" if led else "the coordinators have no leader: nothing can be decided at present"

    # ── streams ─────────────────────────────────────────────────────────────────────────────────

    async def serve(self, link: Link, stream: Stream) -> None:
        """A member's messages until its stream ends, or one question. Raises WireError."""
        data = await stream.receive()
        if data is None:
            return
        request = decode_request(data)
        if not isinstance(request, AskReport) and "coordinator" not in link.roles:
            log.warning("%s is no coordinator and spoke to the group", link.peer[:8])
            stream.reset(NOT_GRANTED, "only a coordinator of this mesh may speak to the group")
            return
        if isinstance(request, Membership):
            await self._hear(link, stream, request.group)
        else:
            await self._answer(stream, request)

    async def _hear(self, link: Link, stream: Stream, group: str) -> None:
        member = await self._member_of(group)
        if self._group_id != group:
            log.warning("%s belongs to another group of coordinators, %s", link.peer[:8], group)
            self._foreign.add(link.peer)
            stream.reset(OTHER_GROUP, MEETS_OTHERS)
            return
        self._foreign.discard(link.peer)
        if member is None:
            stream.reset(NO_DISK, "this coordinator cannot open its disk")
            return
        while (data := await stream.receive()) is not None:
            member.receive(decode(data), link.peer)

    def _refused(self, node: NodeId, code: int) -> None:
        """A member does not take messages of this group."""
        if code == OTHER_GROUP:
            self._foreign.add(node)

    async def _member_of(self, group: str) -> Member | None:
        """This node as a member of the group, which may take it in by this.

        None of another group, and where the disk cannot be opened at present.
        """
        async with self._opening:
            wanted = self._group_id in (None, group) and self.group.member is None
            if wanted and self._clock.now() >= self._open_at:
                await self._be_taken_in(group)
            return self.group.member

    async def _be_taken_in(self, group: str) -> None:
        log.info("taken into the group of coordinators %s", group)
        try:
            if self._group_id is None:
                self._folder.join(group)
                self._group_id = group
            await self._open(group)
            self._problem = ""
        except StorageError as error:
            self._open_at = self._clock.now() + REOPEN_SECONDS
            self._failed(error)

    async def _answer(self, stream: Stream, request: Request) -> None:
        answer = await self.group.answer(request, ANSWER_SECONDS)
        await stream.send(encode_answer(answer))
        stream.finish()

    def _on_link(self, link: Link, up: bool) -> None:
        down = not up and self._links.get(link.peer) is None
        if down:
            self._foreign.discard(link.peer)
        member = self.group.member
        if member is not None and "coordinator" in link.roles and (up or down):
            member.link_changed(link.peer, up)

    # ── the member ──────────────────────────────────────────────────────────────────────────────

    async def _open(self, group: str) -> None:
        opened = await self._folder.open()
        self._state = opened.state
        member = Member(
            own=self._own,
            opened=opened,
            shipping=Shipping(opened.state, self._folder.incoming),
            transport=self._transport,
            clock=self._clock,
            rng=self._rng,
            tasks=self._tasks,
            on_failure=self._failed,
            parameters=self._parameters,
        )
        self._transport.start(group)
        self.group.attach(member, group)
        member.start()
        self._on_ready(opened.state)

    def _failed(self, error: StorageError) -> None:
        self._problem = f"this coordinator's disk failed, it takes no more part: {error}"

    def _granted(self) -> set[NodeId]:
        linked = {link.peer for link in self._links.all() if "coordinator" in link.roles}
        return linked - self._foreign

    async def _keep_members(self) -> None:
        """Remember where the members are; while this node leads, change the list."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            member = self.group.member
            if member is None:
                continue
            members = member.status().members
            if members.voters:
                others = {*members.voters, *members.standbys} - {self._own}
                self._addresses.remember(sorted(others))
            if member.leads:
                self._change_members(member, members)

    def _change_members(self, member: Member, members: Members) -> None:
        step = plan_change(
            self._own, members, member.sights(), self._granted(), caught_up=CAUGHT_UP
        )
        if step is None:
            return
        try:
            member.change(step.change, step.node)
            log.info("member %s: %s", step.node[:8], step.change)
        except (ChangeRefused, NotLeader, Backlog) as refusal:
            log.debug("%s of %s must wait: %s", step.change, step.node[:8], refusal)
