"""One stream's bookkeeping: what waits to be sent, what waits to be read, credit both ways."""

from __future__ import annotations

from collections import deque

from mesh.errors import WireError
from mesh.wire.frames import (
    DATA_COST,
    EMPTY,
    FIN,
    INITIAL_CREDIT,
    MAX_MESSAGE,
    MAX_PAYLOAD,
    MAX_UNSENT_STREAM,
    MIN_FRAGMENT,
    MORE,
)

GRANT_AT = INITIAL_CREDIT // 2
"""Credit is given back in pieces of at least this size: few frames, and never a stalled sender."""


class StreamState:
    """Sans-I/O state of one stream. The multiplexer moves it; the shell only reads it."""

    __slots__ = (
        "failure",
        "fin_received",
        "fin_sent",
        "finishing",
        "id",
        "inbox",
        "kind",
        "offset",
        "outbox",
        "partial",
        "partial_cost",
        "partial_size",
        "priority",
        "queued",
        "receive_credit",
        "send_credit",
        "to_grant",
        "unread",
        "unsent",
        "wants_room",
    )

    def __init__(self, stream_id: int, kind: int, priority: int) -> None:
        self.id = stream_id
        self.kind = kind
        self.priority = priority
        self.outbox: deque[bytes] = deque()
        self.offset = 0
        """Bytes of the first message in the outbox that have left."""
        self.unsent = 0
        self.send_credit = INITIAL_CREDIT
        self.finishing = False
        self.fin_sent = False
        self.queued = False
        """In the write queue."""
        self.wants_room = False
        """A sender waits for room."""
        self.inbox: deque[tuple[bytes, int]] = deque()
        """Complete messages with the credit they give back when read."""
        self.partial: list[bytes] = []
        self.partial_size = 0
        self.partial_cost = 0
        """Credit of the incomplete message that was not given back yet."""
        self.unread = 0
        """Bytes held for the reader, incomplete message included."""
        self.receive_credit = INITIAL_CREDIT
        self.to_grant = 0
        self.fin_received = False
        self.failure: tuple[int, str] | None = None
        """Reset code and reason, once either side has reset the stream."""

    @property
    def over(self) -> bool:
        """Nothing more will travel in either direction."""
        return self.failure is not None or (self.fin_sent and self.fin_received)

    @property
    def has_room(self) -> bool:
        """The sender may queue another message."""
        return self.unsent < MAX_UNSENT_STREAM

    @property
    def sendable(self) -> bool:
        """Something can leave now: data within the credit, or the final mark."""
        if not self.outbox:
            return self.finishing and not self.fin_sent
        left = len(self.outbox[0]) - self.offset
        return self.send_credit >= DATA_COST + min(left, MIN_FRAGMENT)

    def next_fragment(self) -> tuple[int, bytes]:
        """Flags and bytes of the next DATA frame. Only call when `sendable`."""
        if not self.outbox:
            self.fin_sent = True
            return FIN | EMPTY, b""
        message = self.outbox[0]
        left = len(message) - self.offset
        size = min(left, MAX_PAYLOAD, self.send_credit - DATA_COST)
        self.send_credit -= size + DATA_COST
        self.unsent -= size
        if size < left:
            fragment = message[self.offset : self.offset + size]
            self.offset += size
            return MORE, fragment
        fragment = message[self.offset :] if self.offset else message
        self.outbox.popleft()
        self.offset = 0
        if self.finishing and not self.outbox:
            self.fin_sent = True
            return FIN, fragment
        return 0, fragment

    def accept(self, flags: int, fragment: bytes) -> bool:
        """Take in one DATA frame; True when a message is complete. Raises WireError."""
        if self.fin_received:
            raise WireError("data came on a stream after its end")
        if flags & FIN:
            self.fin_received = True
        if flags & EMPTY:
            if fragment or self.partial or not flags & FIN:
                raise WireError("a stream ended in the middle of a message")
            return False
        self._charge(len(fragment) + DATA_COST)
        if flags & MORE:
            self._keep_fragment(flags, fragment)
            return False
        if self.partial:
            self.partial.append(fragment)
            self._check_size(self.partial_size + len(fragment))
            message = b"".join(self.partial)
            self.partial.clear()
            self.partial_size = 0
        else:
            message = fragment
        self.unread += len(fragment)
        self.inbox.append((message, self.partial_cost + len(fragment) + DATA_COST))
        self.partial_cost = 0
        return True

    def take(self) -> bytes | None:
        """The next complete message; its credit becomes grantable."""
        if not self.inbox:
            return None
        message, cost = self.inbox.popleft()
        self.unread -= len(message)
        self.to_grant += cost
        if not self.inbox:
            # The reader has caught up, so the rest of the incomplete message may come.
            self.to_grant += self.partial_cost
            self.partial_cost = 0
        return message

    @property
    def grant_due(self) -> bool:
        return self.to_grant >= GRANT_AT and not self.fin_received and self.failure is None

    def grant(self) -> int:
        """Give back what was read; returns the credit for the CREDIT frame."""
        granted, self.to_grant = self.to_grant, 0
        self.receive_credit += granted
        return granted

    def fail(self, code: int, reason: str) -> None:
        """End both directions and drop everything held."""
        self.failure = (code, reason)
        self.outbox.clear()
        self.inbox.clear()
        self.partial.clear()
        self.unsent = self.unread = self.partial_size = 0

    def _charge(self, cost: int) -> None:
        self.receive_credit -= cost
        if self.receive_credit < 0:
            raise WireError("the peer sent more than its credit")

    def _keep_fragment(self, flags: int, fragment: bytes) -> None:
        if flags & FIN:
            raise WireError("a stream ended in the middle of a message")
        if len(fragment) < MIN_FRAGMENT:
            raise WireError("a message is cut into pieces that are too small")
        self._check_size(self.partial_size + len(fragment))
        self.partial.append(fragment)
        self.partial_size += len(fragment)
        self.unread += len(fragment)
        cost = len(fragment) + DATA_COST
        if self.inbox:
            self.partial_cost += cost
        else:
            self.to_grant += cost

    def _check_size(self, size: int) -> None:
        if size > MAX_MESSAGE:
            raise WireError(f"a message is larger than {MAX_MESSAGE} bytes")
