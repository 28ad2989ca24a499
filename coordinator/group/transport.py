"""Carries the group's messages: one stream to each member, kept as long as the link lives."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

from mesh.consensus import MAX_STANDBYS, MAX_VOTERS
from mesh.errors import LinkError, StreamReset
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, Priority, Stream, StreamKind
from mesh.wire.consensus import ConsensusMessage, SnapshotChunk, encode
from mesh.wire.group import Membership, encode_request

log = logging.getLogger(__name__)

MAX_WAITING = 256
"""Messages to one member that wait for its link; older ones are dropped, the protocol repeats."""
SEND_SECONDS = 2.0
"""A member that takes nothing for so long gets a new stream."""
MAX_LANES = 2 * (MAX_VOTERS + MAX_STANDBYS)
DIAL_EVERY = 0.5
"""Seconds between attempts to reach a member without a link."""


class Transport:
    """Sends to members; `keep` says who they are. The owner closes `tasks`."""

    def __init__(
        self,
        *,
        own: NodeId,
        links: Links,
        addresses: Callable[[NodeId], tuple[str, ...]],
        tasks: Tasks,
        on_refused: Callable[[NodeId, int], None] = lambda *_: None,
    ) -> None:
        """`on_refused` is told who resets this node's stream, and the code."""
        self._own = own
        self._links = links
        self._addresses = addresses
        self._tasks = tasks
        self._on_refused = on_refused
        self._group = ""
        self._lanes: dict[NodeId, _Lane] = {}
        """Members, and who spoke to this node before it knew them: MAX_LANES."""
        self._dialling: set[NodeId] = set()

    def start(self, group: str) -> None:
        """Begin to carry messages of a group."""
        self._group = group
        self._tasks.supervise(self._dial_all, "reach members")

    def keep(self, members: Iterable[NodeId]) -> None:
        """Hold links to these nodes, and to no others for the group's sake."""
        wanted = set(members) - {self._own}
        for node in self._lanes.keys() - wanted:
            self._lanes.pop(node).stop()
            self._links.pin(node, False)
        for node in wanted - self._lanes.keys():
            self._lane(node)

    def send(self, to: NodeId, message: ConsensusMessage) -> None:
        """Queue a message; it may get lost."""
        if to not in self._lanes and len(self._lanes) >= MAX_LANES:
            return
        self._lane(to).put(encode(message), bulk=isinstance(message, SnapshotChunk))

    def _lane(self, node: NodeId) -> _Lane:
        lane = self._lanes.get(node)
        if lane is None:
            lane = self._lanes[node] = _Lane(node, self._links, self._group, self._on_refused)
            self._links.pin(node)
            lane.task = self._tasks.spawn(lane.run(), f"to {node[:8]}")
        return lane

    async def _dial_all(self) -> None:
        while True:
            for node in list(self._lanes):
                if self._links.get(node) is None and node not in self._dialling:
                    self._dialling.add(node)
                    self._tasks.spawn(self._dial(node), f"dial {node[:8]}")
            await asyncio.sleep(DIAL_EVERY)

    async def _dial(self, node: NodeId) -> None:
        try:
            addresses = self._addresses(node)
            if addresses:
                await self._links.connect(node, addresses, timeout=2.0)
        except (LinkError, TimeoutError) as error:
            log.debug("member %s was not reached: %s", node[:8], error)
        finally:
            self._dialling.discard(node)


class _Lane:
    """The way to one member."""

    def __init__(
        self, node: NodeId, links: Links, group: str, on_refused: Callable[[NodeId, int], None]
    ) -> None:
        self._node = node
        self._on_refused = on_refused
        self._links = links
        self._group = group
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._some = asyncio.Event()
        self._stream: tuple[Link, Stream] | None = None
        self.task: asyncio.Task[None] | None = None

    def put(self, message: bytes, *, bulk: bool) -> None:
        if bulk and len(self._waiting) > MAX_WAITING // 2:
            return  # what keeps the group alive goes first; a chunk is asked for again
        self._waiting.append(message)
        self._some.set()

    def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self._drop_stream()

    async def run(self) -> None:
        """Send until stopped."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                await self._send(self._waiting.popleft())

    async def _send(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                stream = await self._ready_stream()
                if stream is not None:
                    await stream.send(message)
        except (LinkError, TimeoutError) as error:
            log.debug("a message to member %s was lost: %s", self._node[:8], error)
            if isinstance(error, StreamReset):
                self._on_refused(self._node, error.code)
            self._drop_stream()

    def _drop_stream(self) -> None:
        """A stream left open would keep a replaced link from ever closing."""
        if self._stream is not None:
            self._stream[1].reset()
        self._stream = None

    async def _ready_stream(self) -> Stream | None:
        link = self._links.get(self._node)
        if self._stream is not None and self._stream[0] is not link:
            self._drop_stream()
        if link is None:
            return None
        if self._stream is None:
            stream = link.open(StreamKind.CONSENSUS, priority=Priority.CONTROL)
            self._stream = link, stream
            await stream.send(encode_request(Membership(self._group)))
        return self._stream[1]
