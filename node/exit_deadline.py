"""Ends the process when an orderly stop takes too long: a stuck thread must not hold it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable


class ExitDeadline:
    """A daemon thread that calls `leave(code)` at the deadline. Unarmed it does nothing."""

    def __init__(
        self, last_words: Callable[[], None], *, leave: Callable[[int], object] = os._exit
    ) -> None:
        """`last_words` runs just before leaving; what it raises is ignored."""
        self._last_words = last_words
        self._leave = leave
        self._changed = threading.Condition()
        self._at: float | None = None
        self._code = 1

    def arm(self, seconds: float, code: int) -> None:
        """Leave in so many seconds at the latest. Arming again can only bring it nearer."""
        at = time.monotonic() + seconds
        with self._changed:
            first = self._at is None
            if self._at is None or at < self._at:
                self._at, self._code = at, code
            self._changed.notify_all()
        if first:
            threading.Thread(target=self._wait, name="exit deadline", daemon=True).start()

    def _wait(self) -> None:
        with self._changed:
            while self._at is not None and (left := self._at - time.monotonic()) > 0:
                self._changed.wait(left)
        try:
            self._last_words()
        finally:
            self._leave(self._code)
