"""Dials peers: one dial per peer at a time, several addresses of a peer side by side.

Pipes race, handshakes take turns, so that a peer with several working addresses does not end up
with several links.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mesh.errors import DialError, HandshakeError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.link import MeshLink
from mesh.links.pipe import Address, Pipe, parse_address

MAX_DIAL_ADDRESSES = 8
"""Addresses of one peer that are tried; more are a waste of everybody's time."""
STAGGER = 0.25
"""Seconds before the next address is tried as well (RFC 8305, 8)."""

OpenPipe = Callable[[Address], Awaitable[Pipe]]
Greet = Callable[[Pipe, str, NodeId | None], Awaitable[MeshLink]]


class Dialler:
    """Shares dials between callers, and notices when the peer dials first."""

    def __init__(self, *, tasks: Tasks, open_pipe: OpenPipe, greet: Greet) -> None:
        self._tasks = tasks
        self._open_pipe = open_pipe
        self._greet = greet
        self._dials: dict[object, asyncio.Task[MeshLink | DialError]] = {}
        self._awaited: dict[NodeId, asyncio.Future[MeshLink]] = {}

    async def connect(
        self, node: NodeId | None, addresses: Sequence[str], *, timeout: float
    ) -> MeshLink:
        """A link to the node, by this side's dial or the peer's. Raises DialError."""
        if self._tasks.closing:
            raise DialError("this node is stopping and dials nobody")
        dial = self._dial(node, addresses, timeout)
        arrival = self._arrival(node)
        waiting: set[asyncio.Future[Any]] = {dial, arrival}
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if arrival.done() and not arrival.cancelled():
            return arrival.result()
        outcome = dial.result() if dial.done() else _late(timeout, addresses)
        if isinstance(outcome, DialError):
            raise DialError(str(outcome))
        return outcome

    def arrived(self, link: MeshLink) -> None:
        """A link has come up, whoever dialled."""
        awaited = self._awaited.pop(link.peer, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(link)

    def _arrival(self, node: NodeId | None) -> asyncio.Future[MeshLink]:
        if node is None:
            return asyncio.get_running_loop().create_future()  # nobody to wait for
        awaited = self._awaited.get(node)
        if awaited is None:
            awaited = self._awaited[node] = asyncio.get_running_loop().create_future()
        return awaited

    def _dial(
        self, node: NodeId | None, addresses: Sequence[str], timeout: float
    ) -> asyncio.Task[MeshLink | DialError]:
        wanted: object = node or tuple(addresses)
        dial = self._dials.get(wanted)
        if dial is None:
            dial = self._tasks.spawn(self._run(node, addresses, timeout), "dial")
            self._dials[wanted] = dial
        return dial

    async def _run(
        self, node: NodeId | None, addresses: Sequence[str], timeout: float
    ) -> MeshLink | DialError:
        """Never raises DialError: nobody may be waiting any more."""
        attempt = _Attempt(self._tasks, self._open_pipe, self._greet)
        try:
            async with asyncio.timeout(timeout):
                return await attempt.run(node, addresses)
        except TimeoutError:
            return _late(timeout, addresses)
        finally:
            self._dials.pop(node or tuple(addresses), None)
            if node is not None:
                self._awaited.pop(node, None)


class _Attempt:
    """One dial of one peer."""

    def __init__(self, tasks: Tasks, open_pipe: OpenPipe, greet: Greet) -> None:
        self._tasks = tasks
        self._open_pipe = open_pipe
        self._greet = greet
        self._pending: dict[asyncio.Task[Pipe | DialError], str] = {}
        self._failures: list[str] = []

    async def run(self, node: NodeId | None, addresses: Sequence[str]) -> MeshLink | DialError:
        waiting = list(dict.fromkeys(addresses))[:MAX_DIAL_ADDRESSES]
        try:
            while waiting or self._pending:
                if waiting:
                    self._try(waiting.pop(0))
                link = await self._first_answer(node, patient=not waiting)
                if link is not None:
                    return link
        finally:
            for task in self._pending:
                task.add_done_callback(_close_unused)
                task.cancel()
        return DialError("; ".join(self._failures) or "no address is known")

    def _try(self, text: str) -> None:
        try:
            address = parse_address(text)
        except ValueError as error:
            self._failures.append(str(error))
            return
        task = self._tasks.spawn(self._connect(address), "connect")
        self._pending[task] = text

    async def _connect(self, address: Address) -> Pipe | DialError:
        try:
            return await self._open_pipe(address)
        except DialError as error:
            return error

    async def _first_answer(self, node: NodeId | None, *, patient: bool) -> MeshLink | None:
        if not self._pending:
            return None
        done, _ = await asyncio.wait(
            self._pending,
            timeout=None if patient else STAGGER,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in done:
            address = self._pending.pop(task)
            pipe = task.result()
            if isinstance(pipe, DialError):
                self._failures.append(str(pipe))
                continue
            try:
                return await self._greet(pipe, address, node)
            except HandshakeError as error:
                self._failures.append(f"{address}: {error}")
        return None


def _close_unused(task: asyncio.Task[Pipe | DialError]) -> None:
    if not task.cancelled() and not isinstance(pipe := task.result(), DialError):
        pipe.abort()


def _late(timeout: float, addresses: Sequence[str]) -> DialError:
    return DialError(f"no answer within {timeout:g} s from {', '.join(addresses)}")
