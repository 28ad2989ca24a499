"""Pipe: raw bytes both ways, whatever carries them. Addresses of pipes are URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from mesh.ids import NodeId

PIPE_HIGH_WATER = 64 * 1024
"""Bytes a pipe buffers before it asks to pause; small, so that priorities are decided late."""
PIPE_LOW_WATER = 16 * 1024
CLOSE_PATIENCE = 1.0
"""Seconds a closed pipe may take to send what is queued."""
MAX_ADDRESS = 256
SCHEMES = ("tcp", "ws", "wss", "relay")
WEBSOCKET_PATH = "/mesh"
_RELAY_PATH = re.compile(r"/[0-9a-f]{40}/[0-9a-f]{40}")


class PipeReceiver(Protocol):
    """Who owns a pipe. The pipe calls these from the event loop; none may raise or block."""

    def data_received(self, data: bytes) -> None: ...

    def pipe_lost(self, reason: str) -> None:
        """The pipe ended, for whatever reason; called exactly once."""
        ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class Pipe(Protocol):
    """Raw bytes to and from one other place."""

    @property
    def remote(self) -> str:
        """Where the other end is, as a URL."""
        ...

    @property
    def source(self) -> str:
        """The other end's host, for counting."""
        ...

    def attach(self, receiver: PipeReceiver) -> None:
        """Set who receives. Called once, before the pipe delivers anything."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes; never blocks. Ignored after close."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Send what is queued, at most for CLOSE_PATIENCE, then end."""
        ...

    def abort(self) -> None:
        """End now and drop what is queued."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL of a node's mesh port."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def relayed(self) -> tuple[NodeId, NodeId, Address]:
        """Of a relay address: the relay, the node, and where the relay takes links."""
        relay, node = self.path.strip("/").split("/")
        return NodeId(relay), NodeId(node), Address("tcp", self.host, self.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_address(text: str) -> Address:
    """tcp://host:port, ws://host[:port][/path], wss://… or relay://host:port/RELAY-ID/NODE-ID.

    Bare host:port means tcp. Raises ValueError that names what is wrong.
    """
    if len(text) > MAX_ADDRESS or not text.isprintable() or " " in text:
        raise ValueError("an address is a short printable URL")
    url = urlsplit(text if "://" in text else f"tcp://{text}")
    if url.scheme not in SCHEMES:
        raise ValueError(f"{text!r}: the scheme is one of {', '.join(SCHEMES)}")
    if not url.hostname or url.username is not None:
        raise ValueError(f"{text!r} names no host")
    port = url.port or {"ws": 80, "wss": 443}.get(url.scheme)
    if not port:
        raise ValueError(f"{text!r} names no port")
    path = "" if url.scheme == "tcp" else (url.path.rstrip("/") or WEBSOCKET_PATH)
    if url.scheme == "relay" and not _RELAY_PATH.fullmatch(path):
        raise ValueError(f"{text!r}: a relay address ends in the relay's and the node's id")
    return Address(url.scheme, url.hostname, port, path)


def relay_address(relay_at: Address, relay: NodeId, node: NodeId) -> Address:
    """Under which a node is reached through a relay that takes links there."""
    return Address("relay", relay_at.host, relay_at.port, f"/{relay}/{node}")
