"""A node's owner for tests of the gateway: pauses and limits without a machine behind them."""

from __future__ import annotations

from collections.abc import Mapping

from mesh.errors import StorageError
from services.availability import BY_OWNER, Availability
from services.limits import Limits, override


class OwnedNode:
    """Implements node.gateway.owner_handlers.Owned."""

    def __init__(self) -> None:
        self.availability = Availability()
        self.limits = Limits(slots=4)
        self.asked: list[float | None] = []
        self.full = False
        """The disk takes no more changes."""

    def pause(self, seconds: float | None = None) -> Availability:
        self._write()
        self.asked.append(seconds)
        self.availability = Availability(False, BY_OWNER, seconds and 1_790_000_000.0 + seconds)
        return self.availability

    def resume(self) -> Availability:
        self._write()
        self.availability = Availability()
        return self.availability

    def set_limits(self, changes: Mapping[str, int | None]) -> Limits:
        self._write()
        given = {name: most for name, most in changes.items() if most is not None}
        self.limits = override(Limits(slots=4), given)
        return self.limits

    def _write(self) -> None:
        if self.full:
            raise StorageError("the disk of /secret/place is full")
