"""Which idle links to let go, so that a node does not keep one to everybody it ever met."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

from mesh.ids import NodeId

MAX_IDLE = 64
"""Idle links that are kept; one costs about 25 KiB and a small frame a second at each end."""
MIN_IDLE_SECONDS = 5.0
"""A link is not idle before its last stream is that long over."""


class IdleLink(Protocol):
    """What is looked at."""

    @property
    def peer(self) -> NodeId: ...

    @property
    def idle(self) -> bool: ...

    last_used: float


L = TypeVar("L", bound=IdleLink)


def surplus(
    links: Iterable[L], pinned: Collection[NodeId], now: float, *, most: int = MAX_IDLE
) -> list[L]:
    """The idle, unpinned links beyond `most`, longest unused first."""
    idle = [
        link
        for link in links
        if link.idle and link.peer not in pinned and now - link.last_used >= MIN_IDLE_SECONDS
    ]
    if len(idle) <= most:
        return []
    idle.sort(key=lambda link: link.last_used)
    return idle[: len(idle) - most]
