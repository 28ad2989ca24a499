"""A coordinator's part in the group: founding or being taken in, streams, and who is a member.

Only a node whose charter says so founds a group, once. Every other coordinator waits until a leader
takes it in. Nodes of another group are refused: founded groups never merge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random

from coordinator.consensus.parameters import CAUGHT_UP, Parameters
from coordinator.consensus.refusal import Backlog, ChangeRefused, NotLeader
from coordinator.group.folder import GroupFolder
from coordinator.group.group import Group
from coordinator.group.member import Member
from coordinator.group.policy import plan_change
from coordinator.group.shipping import Shipping
from coordinator.group.transport import Transport
from coordinator.state.state import SqliteState
from mesh.clock import Clock
from mesh.errors import StorageError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, Stream, StreamKind
from mesh.wire.consensus import decode
from mesh.wire.group import AskReport, Membership, Request, decode_request, encode_answer

log = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds between a leader's looks at who should be a member."""
ANSWER_SECONDS = 5.0
"""What a leader may take to decide another node's command."""
OTHER_GROUP = "a coordinator of another group is about: founded groups never merge"


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
        self._transport = Transport(own=own, links=links, addresses=addresses, tasks=tasks)
        self._group_id: str | None = None
        self._opening = asyncio.Lock()
        self._state: SqliteState | None = None
        self._problem = ""
        self.group = Group(own, links, clock)

    async def start(self) -> None:
        """Open what is on disk, or found, and serve. Raises StorageError."""
        self._links.serve(StreamKind.CONSENSUS, self.serve)
        self._links.watch(self._on_link)
        self._group_id = self._folder.group()
        if self._group_id is None and self._founds and self._folder.may_found():
            await self._folder.found(self._own)
            self._group_id = self._folder.group()
        if self._group_id is not None:
            await self._open(self._group_id)
        self._tasks.supervise(self._keep_members, "members")

    async def close(self) -> None:
        """Close the disk. Safe when nothing was opened."""
        if self.group.member is not None:
            await self.group.member.close()

    def hand_over(self) -> None:
        """This node stops: let another lead without waiting for an election."""
        if self.group.member is not None:
            try:
                self.group.member.hand_over()
            except (NotLeader, ChangeRefused) as refusal:
                log.debug("the lead was not handed over: %s", refusal)

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
            stream.reset(1, "only a coordinator of this mesh may speak to the group")
            return
        if isinstance(request, Membership):
            await self._hear(link, stream, request.group)
        else:
            await self._answer(stream, request)

    async def _hear(self, link: Link, stream: Stream, group: str) -> None:
        member = await self._member_of(group)
        if member is None:
            stream.reset(1, OTHER_GROUP)
            return
        while (data := await stream.receive()) is not None:
            member.receive(decode(data), link.peer)

    async def _member_of(self, group: str) -> Member | None:
        """This node as a member of the group, which may take it in by this; None of another."""
        async with self._opening:
            if self._group_id is None:
                log.info("taken into the group of coordinators %s", group)
                self._folder.join(group)
                self._group_id = group
                await self._open(group)
        if self._group_id != group:
            self._problem = OTHER_GROUP
            return None
        return self.group.member

    async def _answer(self, stream: Stream, request: Request) -> None:
        answer = await self.group.answer(request, ANSWER_SECONDS)
        await stream.send(encode_answer(answer))
        stream.finish()

    def _on_link(self, link: Link, up: bool) -> None:
        member = self.group.member
        if member is None or "coordinator" not in link.roles:
            return
        if up or self._links.get(link.peer) is None:
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
        for link in self._links.all():
            self._on_link(link, True)
        self._on_ready(opened.state)

    def _failed(self, error: StorageError) -> None:
        self._problem = f"this coordinator's disk failed, it takes no more part: {error}"

    async def _keep_members(self) -> None:
        """While this node leads: bring the list of members to what it should be."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            member = self.group.member
            if member is None or self._state is None or not member.leads:
                continue
            step = plan_change(
                self._own,
                member.status().members,
                member.sights(),
                {link.peer for link in self._links.all() if "coordinator" in link.roles},
                caught_up=CAUGHT_UP,
            )
            if step is None:
                continue
            try:
                member.change(step.change, step.node)
                log.info("member %s: %s", step.node[:8], step.change)
            except (ChangeRefused, NotLeader, Backlog) as refusal:
                log.debug("%s of %s must wait: %s", step.change, step.node[:8], refusal)
