"""One try of a job on one worker: this node's own host, or a peer's over a link."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from mesh.errors import LinkClosed, LinkError
from mesh.lifecycle import Tasks
from mesh.ports import Stream
from mesh.wire.jobs import RESET_CANCELLED, Accept, Offer, WorkerMessage, decode, split_body
from services.host import Host

log = logging.getLogger(__name__)

LOCAL_BUFFER = 4
"""Messages the own host may be ahead of the client."""


class Attempt(Protocol):
    """Where a worker's messages come from."""

    async def receive(self) -> WorkerMessage:
        """The next message. Raises LinkError or WireError when there will be none."""
        ...

    def cancel(self) -> None:
        """Stop the work. Harmless when it is over."""
        ...


class RemoteAttempt:
    """The worker is a peer; the offer has been sent on `stream`.

    `body` is sent once the worker accepted; it reads it when it has a slot.
    """

    def __init__(self, stream: Stream, body: bytes, tasks: Tasks) -> None:
        self._stream = stream
        self._body = body
        self._tasks = tasks

    async def receive(self) -> WorkerMessage:
        data = await self._stream.receive()
        if data is None:
            raise LinkClosed("the worker ended the job without a result")
        message = decode(data)
        if self._body and isinstance(message, Accept):
            self._tasks.spawn(self._upload(self._body), "upload")
            self._body = b""
        return message

    def cancel(self) -> None:
        self._stream.reset(RESET_CANCELLED, "cancelled")

    async def _upload(self, body: bytes) -> None:
        try:
            for part in split_body(body):
                await self._stream.send(part)
            self._stream.finish()
        except LinkError:
            log.debug("the upload of a job's body ended early")  # `receive` reports the loss


class LocalAttempt:
    """The worker is this node; no link and no encoding in between."""

    def __init__(self, host: Host, offer: Offer, tasks: Tasks) -> None:
        self._messages: asyncio.Queue[WorkerMessage | None] = asyncio.Queue(LOCAL_BUFFER)
        self._task = tasks.spawn(self._execute(host, offer), f"job-{offer.job_id[:8]}")

    async def receive(self) -> WorkerMessage:
        message = await self._messages.get()
        if message is None:
            raise LinkClosed("the job ended without a result")
        return message

    def cancel(self) -> None:
        self._task.cancel()

    async def _execute(self, host: Host, offer: Offer) -> None:
        try:
            await host.execute(offer, self._messages.put)
        finally:
            if not self._messages.full():
                self._messages.put_nowait(None)
