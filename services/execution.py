"""What the host keeps of a job that it has accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mesh.jobs import Chunk
from mesh.wire.jobs import Offer, WorkerMessage
from services.engines.engine import Engine
from services.queue import SlotQueue, Ticket
from services.window import Window

Send = Callable[[WorkerMessage], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Execution:
    """One accepted job while it is here."""

    offer: Offer
    engine: Engine
    send: Send
    queue: SlotQueue
    arrived: float
    last_sent: float
    window: Window | None = None
    ticket: Ticket | None = None
    queue_seconds: float = 0.0
    accepted: bool = False
    """The gateway knows that this node took the job."""
    task: asyncio.Task[object] | None = None
    signing: bool = False
    """A sign of life is on its way; another one would only wait behind it."""
    sending_since: float | None = None
    """When the message that the gateway has not taken yet was sent."""
    ending: Chunk | None = None
    """The end of the only choice, which most often needs no message: the Finish comes at once."""
    answered: bool = False
    """A chunk has left, which says that the job was accepted."""
