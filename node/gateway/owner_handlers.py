"""Handlers of the owner's word over this machine: pause, resume, limits. For the admin only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from mesh.errors import InvalidRequest, StorageError
from node.gateway import faults
from node.gateway.application import Handler
from node.gateway.exchange import Answer, Incoming, Reply
from node.gateway.faults import Fault, Refusal
from node.gateway.json_body import decode_object
from node.gateway.routes import Route
from services.availability import Availability
from services.limits import LIMITS, MAX_SLOTS, Limits

MAX_PAUSE = 366 * 86_400.0
"""Seconds; for longer, pause without an end."""
LEAST_MEMORY, MOST_MEMORY = 16 * 2**20, 2**50
"""Bytes that a limit may name, as in the configuration."""


NOT_SAVED = Fault(
    500,
    "not_saved",
    "the node could not write this down in its data folder, so nothing was changed; its log says "
    "why",
)


class Owned(Protocol):
    """What the owner's word changes."""

    @property
    def availability(self) -> Availability: ...

    @property
    def limits(self) -> Limits: ...

    def pause(self, seconds: float | None = None) -> Availability: ...

    def resume(self) -> Availability: ...

    def set_limits(self, changes: Mapping[str, int | None]) -> Limits: ...


class OwnerHandlers:
    """Every answer says how things stand after the change."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned

    def routes(self) -> list[Route[Handler]]:
        """What these handlers answer."""
        return [
            Route("POST", "/api/node/pause", self.pause),
            Route("POST", "/api/node/resume", self.resume),
            Route("GET", "/api/node/limits", self.limits),
            Route("PUT", "/api/node/limits", self.set_limits),
        ]

    async def pause(self, incoming: Incoming, reply: Reply) -> None:
        """POST /api/node/pause; `seconds` ends it by itself."""
        _check_admin(incoming)
        body = incoming.take_body()
        seconds = parse_seconds(decode_object(body)) if body else None
        with saving():
            found = self._owned.pause(seconds)
        await reply.send(_json(availability_object(found)))

    async def resume(self, incoming: Incoming, reply: Reply) -> None:
        """POST /api/node/resume."""
        _check_admin(incoming)
        with saving():
            found = self._owned.resume()
        await reply.send(_json(availability_object(found)))

    async def limits(self, incoming: Incoming, reply: Reply) -> None:
        """GET /api/node/limits."""
        await reply.send(_json(limits_object(self._owned.limits)))

    async def set_limits(self, incoming: Incoming, reply: Reply) -> None:
        """PUT /api/node/limits; null goes back to what is configured."""
        _check_admin(incoming)
        changes = parse_limits(decode_object(incoming.take_body()))
        with saving():
            found = self._owned.set_limits(changes)
        await reply.send(_json(limits_object(found)))


def availability_object(availability: Availability) -> dict[str, Any]:
    """As the API shows it; `until` in UTC, null when it is not known."""
    until = availability.until
    return {
        "open": availability.open,
        "reason": availability.reason,
        "until": None
        if until is None
        else datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds"),
    }


def limits_object(limits: Limits) -> dict[str, int | None]:
    """As the API shows it; null is no limit."""
    return {name: getattr(limits, name) for name in LIMITS}


def parse_seconds(body: Mapping[str, Any]) -> float | None:
    """How long a pause lasts; None: until resumed. Raises InvalidRequest."""
    _check_names(body, ("seconds",))
    seconds = body.get("seconds")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidRequest("seconds must be a number", param="seconds")
    if not 0 < seconds <= MAX_PAUSE:
        raise InvalidRequest(f"seconds must be over 0, at most {MAX_PAUSE:.0f}", param="seconds")
    return float(seconds)


def parse_limits(body: Mapping[str, Any]) -> dict[str, int | None]:
    """The limits to change. Raises InvalidRequest."""
    _check_names(body, LIMITS)
    for name, most in body.items():
        low, high = (1, MAX_SLOTS) if name == "slots" else (LEAST_MEMORY, MOST_MEMORY)
        if most is not None and (type(most) is not int or not low <= most <= high):
            raise InvalidRequest(
                f"{name} must be a whole number from {low} to {high}, or null", param=name
            )
    return dict(body)


def _check_names(body: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in body:
        if name not in known:
            raise InvalidRequest(f"unknown field; known are {', '.join(known)}", param=name[:64])


@contextmanager
def saving() -> Iterator[None]:
    """Turns a disk that does not take the change into an answer; nothing was changed then."""
    try:
        yield
    except StorageError:
        raise Refusal(NOT_SAVED) from None


def _check_admin(incoming: Incoming) -> None:
    if not incoming.principal.admin:
        raise Refusal(faults.NOT_ADMIN)


def _json(value: Any) -> Answer:
    return Answer(200, orjson.dumps(value))
