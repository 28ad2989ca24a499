"""One try of a job on one worker: this node's own host, or a peer's over a link."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from mesh.errors import LinkClosed, LinkError
from mesh.jobs import Chunk
from mesh.lifecycle import Tasks
from mesh.ports import Stream
from mesh.wire.jobs import (
    RESET_CANCELLED,
    Accept,
    Fail,
    Finished,
    Offer,
    Refuse,
    WorkerMessage,
    count_tokens,
    decode,
    encode_taken,
    split_body,
)
from services.host import Host

log = logging.getLogger(__name__)

LOCAL_BUFFER = 4
"""Messages the own host may be ahead of the client."""
WINDOW = 16
"""Tokens a peer may be ahead of the client. At a round trip of 0.2 s a stream still reaches 80
tokens a second."""
TAKEN_EVERY = WINDOW // 2
"""Tokens after which the peer is told what was taken; half a window, as it counts on."""


class Attempt(Protocol):
    """Where a worker's messages come from."""

    async def receive(self) -> WorkerMessage:
        """The next message. Raises LinkError or WireError when there will be none."""
        ...

    def cancel(self) -> None:
        """Stop the work. Harmless when it is over."""
        ...

    def settle(self) -> None:
        """The worker has had its last word: whatever it still sends is dropped."""
        ...


class RemoteAttempt:
    """The worker is a peer; the offer has been sent on `stream`.

    `body` is sent once the worker accepted; it reads it when it has a slot. With a `window` in its
    offer the worker is told what was taken: what came before the next `receive`.
    """

    def __init__(self, stream: Stream, body: bytes, tasks: Tasks, *, window: bool = False) -> None:
        self._stream = stream
        self._body = body
        self._tasks = tasks
        self._window = window
        self._taken = self._told = 0
        self._uploading: asyncio.Task[None] | None = None

    async def receive(self) -> WorkerMessage:
        if self._taken - self._told >= TAKEN_EVERY:
            self._told = self._taken
            await self._stream.send(encode_taken(self._taken))
        data = await self._stream.receive()
        if data is None:
            raise LinkClosed("the worker ended the job without a result")
        message = decode(data)
        if self._window and isinstance(message, Chunk):
            self._taken += count_tokens(message)
            return message
        if self._body and isinstance(message, Accept):
            self._uploading = self._tasks.spawn(self._upload(self._body), "upload")
            self._body = b""
        elif self._uploading is not None and isinstance(message, Finished | Fail | Refuse):
            self._stop_upload()
        return message

    def cancel(self) -> None:
        if self._uploading is not None:
            self._uploading.cancel()
        self._stream.reset(RESET_CANCELLED, "cancelled")

    def settle(self) -> None:
        self._stream.reset(RESET_CANCELLED, "the job is over")  # an honest worker has ended it

    def _stop_upload(self) -> None:
        """The job is over: nobody reads the rest of the body, nor gives credit to send it."""
        if self._uploading is not None and not self._uploading.done():
            self._uploading.cancel()
            self._stream.reset(RESET_CANCELLED, "the job is over")

    async def _upload(self, body: bytes) -> None:
        try:
            for part in split_body(body):
                await self._stream.send(part)
            if not self._window:
                self._stream.finish()
        except LinkError:
            log.debug("the upload of a job's body ended early")  # `receive` reports the loss


class LocalAttempt:
    """The worker is this node; no link and no encoding in between."""

    def __init__(self, host: Host, offer: Offer, tasks: Tasks) -> None:
        self._messages: asyncio.Queue[WorkerMessage | None] = asyncio.Queue(LOCAL_BUFFER)
        name = f"job-{offer.job_id[:8]}"
        self._task = tasks.spawn(host.execute(offer, self._messages.put), name)
        self._task.add_done_callback(self._wake_reader)

    async def receive(self) -> WorkerMessage:
        over = self._task.done() and self._messages.empty()
        message = None if over else await self._messages.get()
        if message is None:
            raise LinkClosed("the job ended without a result")
        return message

    def cancel(self) -> None:
        self._task.cancel()
        while not self._messages.empty():  # a sign of life may wait for room behind them
            self._messages.get_nowait()

    def settle(self) -> None:
        """Its task is about to end by itself."""

    def _wake_reader(self, _: asyncio.Task[None]) -> None:
        """A reader can only be waiting when there is room for the end marker."""
        if not self._messages.full():
            self._messages.put_nowait(None)
