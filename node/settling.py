"""Keeps a node that has just started from saying what nobody serves before it can know."""

from __future__ import annotations

import asyncio
from typing import Protocol

SETTLE_SECONDS = 5.0
"""For which a request for a model that nobody seems to serve is held back, at most."""


class OwnEngines(Protocol):
    """What this node serves itself: the catalog."""

    @property
    def looked(self) -> bool: ...

    async def first_look(self) -> None: ...


class MeshLook(Protocol):
    """What others serve: the directory's first look."""

    @property
    def over(self) -> bool: ...

    async def wait(self) -> None: ...


class Settling:
    """Over when both were looked at, or a request has waited for that in vain."""

    def __init__(self, engines: OwnEngines, mesh: MeshLook) -> None:
        self._engines = engines
        self._mesh = mesh
        self._given_up = False

    @property
    def over(self) -> bool:
        """Whether what is not known now counts as not there."""
        return self._given_up or (self._engines.looked and self._mesh.over)

    async def wait(self, most: float) -> None:
        """Return when it is over, after `most` seconds or SETTLE_SECONDS."""
        try:
            async with asyncio.timeout(min(most, SETTLE_SECONDS)):
                await self._engines.first_look()
                await self._mesh.wait()
        except TimeoutError:
            self._given_up = self._given_up or most >= SETTLE_SECONDS
