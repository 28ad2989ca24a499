"""Whether a node that has just started knows yet what its mesh serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class FirstLook:
    """Over once a comparison with a peer has succeeded and none is under way, or nobody is there.

    It stays over: whatever is learned later is news.
    """

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self._running = 0
        self._compared = False

    @property
    def over(self) -> bool:
        """What is not known now is not expected any more."""
        return self._over.is_set()

    async def wait(self) -> None:
        """Return when it is over."""
        await self._over.wait()

    @contextmanager
    def comparing(self) -> Iterator[None]:
        """Around each comparison with a peer; one that raises counts as none."""
        self._running += 1
        try:
            yield
            self._compared = True
        finally:
            self._running -= 1
            if self._compared and not self._running:
                self._over.set()

    def found_nobody(self) -> None:
        """No peer can be reached: there is nobody to compare with."""
        self._over.set()
