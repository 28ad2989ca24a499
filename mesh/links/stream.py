"""A stream as applications see it: awaits around the multiplexer's bookkeeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.errors import StreamReset, WireError
from mesh.links.stream_state import StreamState
from mesh.wire.frames import MAX_MESSAGE

if TYPE_CHECKING:
    from mesh.links.link import MeshLink


class LinkStream:
    """Implements `mesh.ports.Stream`. One reader and any number of senders at a time."""

    __slots__ = ("_link", "_on_failure", "_reading", "_sending", "abandoned", "state")

    def __init__(self, link: MeshLink, state: StreamState) -> None:
        self._link = link
        self.state = state
        self._reading: asyncio.Future[None] | None = None
        self._sending: list[asyncio.Future[None]] = []
        self._on_failure: Callable[[], object] | None = None
        self.abandoned = False
        """Nobody will read it any more: what comes is dropped."""

    async def send(self, message: bytes) -> None:
        """Queue one message; waits while the peer or the pipe is slow."""
        if len(message) > MAX_MESSAGE:
            raise WireError(f"a message of {len(message)} bytes is larger than {MAX_MESSAGE}")
        link, state = self._link, self.state
        while True:
            if state.failure is not None:
                raise StreamReset(*state.failure)
            if link.ended is not None:
                raise link.ended.error()
            if state.finishing:
                raise StreamReset(0, "this side of the stream is finished already")
            if not self._sending and link.multiplexer.has_room(state):
                break
            await self._wait_for_room()
        link.multiplexer.send(state, message)
        link.schedule_flush()

    async def receive(self) -> bytes | None:
        """The next message, or None after the peer's last one."""
        if self._reading is not None:
            raise RuntimeError("a stream has one reader at a time")
        link, state = self._link, self.state
        while True:
            message = link.multiplexer.take(state)
            if message is not None:
                if state.grant_due:
                    link.schedule_flush()
                return message
            if state.failure is not None:
                raise StreamReset(*state.failure)
            if state.fin_received:
                return None
            if link.ended is not None:
                raise link.ended.error()
            self._reading = asyncio.get_running_loop().create_future()
            try:
                await self._reading
            finally:
                self._reading = None

    def finish(self) -> None:
        """No more messages from this side."""
        self._link.multiplexer.finish(self.state)
        self._link.schedule_flush()

    def reset(self, code: int = 0, reason: str = "") -> None:
        """End both sides now."""
        if not self.state.over:
            self._link.reset_stream(self, code, reason)

    def on_failure(self, callback: Callable[[], object]) -> None:
        """Be told when the peer resets the stream or the link ends; at once if that was before."""
        if self.state.failure is not None or self._link.ended is not None:
            callback()
        else:
            self._on_failure = callback

    def fail(self) -> None:
        """The peer has reset the stream, or the link has ended."""
        self.wake()
        callback, self._on_failure = self._on_failure, None
        if callback is not None:
            callback()

    def wake_reader(self) -> None:
        """Something can be read, or never will."""
        if self.abandoned:
            while self._link.multiplexer.take(self.state) is not None:
                pass
        elif self._reading is not None and not self._reading.done():
            self._reading.set_result(None)

    def wake_senders(self) -> None:
        """There is room, or there never will be."""
        self.state.wants_room = False
        waiting, self._sending = self._sending, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def wake(self) -> None:
        """The stream or its link has ended."""
        self.wake_reader()
        self.wake_senders()

    def abandon(self) -> None:
        """Finish, and drop whatever still comes."""
        self.abandoned = True
        if not self.state.over:
            self.finish()
        self.wake_reader()
        self._link.schedule_flush()

    async def _wait_for_room(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sending.append(future)
        self.state.wants_room = True
        await future
