"""One HTTP exchange in words no server library owns: what came in, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

from mesh.ids import JobId
from mesh.ports import Principal

Headers = list[tuple[str, str]]
"""Response headers in the order they are sent; names in lower case."""

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers. Header names are lower case; repeated ones joined by ", "."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: str
    headers: Mapping[str, str]
    local: bool
    """The connection comes from this machine, through no proxy that says so."""
    door: str = ""
    """The public name by which it came through another node's door; never local then."""


@dataclass(slots=True)
class Incoming:
    """A request that was let in; `body` is filled once it has arrived."""

    head: Head
    principal: Principal
    request_id: str
    job_id: JobId
    """Drawn for this request, whether or not it becomes a job."""
    started: float
    """Monotonic seconds when its headers were complete."""
    common: Headers
    """Response headers that every answer to this request carries."""
    tail: str = ""
    """What follows a route that ends in a slash, e.g. the id in /v1/models/{id}."""
    body: bytes = b""

    def take_body(self) -> bytes:
        """The body, which is not kept: a large one would otherwise stay as long as its job."""
        body, self.body = self.body, b""
        return body


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Headers = field(default_factory=list)


class Reply(Protocol):
    """The way back to one client. Methods that wait raise ConnectionError once it is gone.

    It adds the request's common headers to whatever is sent.
    """

    @property
    def begun(self) -> bool:
        """True once anything was sent or `begin` was called."""
        ...

    @property
    def status(self) -> int:
        """Status of what was sent; 0 before that."""
        ...

    async def send(self, answer: Answer) -> None:
        """Send a complete response."""
        ...

    def begin(self, status: int, content_type: str, headers: Headers) -> None:
        """Start a response of unknown length; leaves with the first bytes written."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a piece; waits while the client does not read."""
        ...

    def write_soon(self, data: bytes) -> None:
        """Send a small piece without waiting; dropped while the client does not read."""
        ...

    async def end(self, data: bytes = b"", *, close: bool = False) -> None:
        """Send the last piece and complete what `begin` started; `close` ends the connection."""
        ...

    def abort(self) -> None:
        """Cut the connection: what was begun cannot be completed honestly."""
        ...


def split_target(target: str) -> tuple[str, str]:
    """Path (decoded) and query of a request target, origin or absolute form (RFC 9112 3.2)."""
    if not target.startswith("/"):
        _, _, rest = target.partition("://")
        _, slash, rest = rest.partition("/")
        target = slash + rest or "/"
    path, _, query = target.partition("?")
    return (unquote(path, errors="replace") if "%" in path else path), query
