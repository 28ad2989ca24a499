"""Two pipes made one: what comes out of either goes into the other, unread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.links.pipe import Pipe

IDLE_SECONDS = 600.0
"""A splice that nothing passes for so long is cut: links send a small frame every few seconds."""

Toll = Callable[[int], float]
"""Told of bytes that pass; seconds to rest before more may come."""


class Splice:
    """Owns both pipes until either ends; then the other is closed, and `ended` called once."""

    def __init__(
        self, left: Pipe, right: Pipe, *, toll: Toll, ended: Callable[[int], None]
    ) -> None:
        self._halves = (_Half(self, left, right, toll), _Half(self, right, left, toll))
        self._pipes = (left, right)
        self._ended: Callable[[int], None] | None = ended
        self._seen = 0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(IDLE_SECONDS, self._check_idle)

    @property
    def size(self) -> int:
        """Bytes that have passed, both ways."""
        return self._halves[0].size + self._halves[1].size

    def start(self, from_left: bytes = b"", from_right: bytes = b"") -> None:
        """Take over both pipes, which are being read; the bytes have come from them already."""
        for pipe, half in zip(self._pipes, self._halves, strict=True):
            pipe.attach(half)
        for half, early in zip(self._halves, (from_left, from_right), strict=True):
            if early:
                half.data_received(early)

    def cut(self) -> None:
        """End both sides now."""
        for pipe in self._pipes:
            pipe.abort()
        self.end()

    def end(self) -> None:
        """One side has ended: let the other send what it still holds, and end it."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        self._timer.cancel()
        for pipe, half in zip(self._pipes, self._halves, strict=True):
            half.stop()
            pipe.close()
        ended(self.size)

    def hold(self, half: _Half, *, full: bool) -> None:
        """The pipe that `half` reads from is full, or no longer: its writer is the other half."""
        other = self._halves[1] if half is self._halves[0] else self._halves[0]
        other.set_target_full(full)

    def _check_idle(self) -> None:
        if self.size == self._seen:
            self.cut()
            return
        self._seen = self.size
        self._timer = self._loop.call_later(IDLE_SECONDS, self._check_idle)


class _Half:
    """One direction; implements PipeReceiver of the pipe that bytes come from."""

    def __init__(self, splice: Splice, source: Pipe, target: Pipe, toll: Toll) -> None:
        self.size = 0
        self._splice = splice
        self._source = source
        self._target = target
        self._toll = toll
        self._rest: asyncio.TimerHandle | None = None
        self._target_full = False
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        self._target.write(data)
        seconds = self._toll(len(data))
        if seconds > 0 and self._rest is None:
            self._rest = asyncio.get_running_loop().call_later(seconds, self._rested)
            self._set_pause()

    def pipe_lost(self, reason: str) -> None:
        self._splice.end()

    def pause_writing(self) -> None:
        self._splice.hold(self, full=True)

    def resume_writing(self) -> None:
        self._splice.hold(self, full=False)

    def set_target_full(self, full: bool) -> None:
        """The pipe that this half writes into asks for a pause, or for more."""
        self._target_full = full
        self._set_pause()

    def stop(self) -> None:
        """No more bytes are expected."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _rested(self) -> None:
        self._rest = None
        self._set_pause()

    def _set_pause(self) -> None:
        wanted = self._target_full or self._rest is not None
        if wanted != self._paused:
            self._paused = wanted
            (self._source.pause_reading if wanted else self._source.resume_reading)()
