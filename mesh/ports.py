"""Roles that cross package borders. Each has an in-memory twin and one contract suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Literal, Protocol

from mesh.capability import NodeRecord, Peer, Role, ServedModel
from mesh.ids import JobId, NodeId
from mesh.jobs import Chunk, Finish, JobSpec, Privacy


class StreamKind(IntEnum):
    """What a stream on a link is for. Numbers are on the wire: never reuse one."""

    JOB = 1
    DIRECTORY = 2
    DHT = 3
    BLOB = 4
    STATUS = 5
    CONSENSUS = 6
    REGISTRY = 7
    ASSIGNMENT = 8
    REACH = 9
    RELAY = 10
    ADMISSION = 11
    REVOCATION = 12
    DOOR = 13
    PUNCH = 14


class Priority(IntEnum):
    """Lower goes first whenever the pipe is the bottleneck."""

    CONTROL = 0
    CHUNK = 1
    BULK = 2


class Stream(Protocol):
    """One conversation inside a link: ordered messages both ways, flow-controlled by credit."""

    async def send(self, message: bytes) -> None:
        """Queue one message (at most MAX_MESSAGE bytes, mesh.wire.frames); waits for credit.

        Raises StreamReset or LinkClosed when nobody will read it.
        """
        ...

    async def receive(self) -> bytes | None:
        """The next message, or None once the peer finished its side.

        Raises StreamReset or LinkClosed.
        """
        ...

    def finish(self) -> None:
        """Say that this side sends no more. Receiving goes on."""
        ...

    def reset(self, code: int = 0, reason: str = "") -> None:
        """End both sides now. Harmless on a stream that is over."""
        ...

    def on_failure(self, callback: Callable[[], object]) -> None:
        """Be told once when the peer resets the stream or the link ends."""
        ...


class Link(Protocol):
    """A mutually authenticated, multiplexed way to one peer."""

    @property
    def peer(self) -> NodeId: ...

    @property
    def roles(self) -> tuple[Role, ...]:
        """Roles the peer claimed in Hello; granted ones only if their grant was checked."""
        ...

    @property
    def rtt(self) -> float | None:
        """Smoothed seconds there and back; None until first measured."""
        ...

    @property
    def closed(self) -> bool: ...

    @property
    def remote(self) -> str:
        """Where the other end's bytes come from, as a URL."""
        ...

    @property
    def dialled_address(self) -> str | None:
        """By which address this side reached the peer; None when the peer dialled."""
        ...

    @property
    def relayed(self) -> bool:
        """Whether its bytes pass a relay."""
        ...

    def open(self, kind: StreamKind, *, priority: Priority = Priority.CHUNK) -> Stream:
        """Start a stream without waiting. Raises LinkClosed."""
        ...

    async def call(self, kind: StreamKind, request: bytes, *, timeout: float) -> bytes:
        """One request, one answer, on a stream of its own. Raises LinkError or TimeoutError."""
        ...


StreamHandler = Callable[[Link, Stream], Awaitable[None]]
"""Serves one stream a peer opened. Returning ends it; raising resets it."""

LinkWatcher = Callable[[Link, bool], None]
"""Told of each link that came up (True) or went down (False)."""


class Links(Protocol):
    """All links of this node."""

    def get(self, node: NodeId) -> Link | None:
        """The live link to a node, if there is one."""
        ...

    def all(self) -> Sequence[Link]:
        """Every live link."""
        ...

    async def connect(
        self, node: NodeId | None, addresses: Sequence[str], *, timeout: float = 5.0
    ) -> Link:
        """The live link to the node, or a new one over the first address that answers as it.

        `node` None accepts whoever answers (bootstrap by address alone). Raises DialError.
        """
        ...

    def serve(self, kind: StreamKind, handler: StreamHandler) -> None:
        """Register who serves streams of a kind. One handler a kind."""
        ...

    def watch(self, watcher: LinkWatcher) -> None:
        """Be told when links come and go."""
        ...

    def pin(self, node: NodeId, pinned: bool = True) -> None:
        """Keep the link to a node when idle links are trimmed."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """A node that serves a model, as seen now."""

    peer: Peer
    model: ServedModel


class View(Protocol):
    """Who is there, what they serve, at what load: from local state only, never by asking."""

    def peers(self) -> Sequence[Peer]:
        """Every known node but this one."""
        ...

    def providers(self, model: str) -> Sequence[Provider]:
        """Everyone but this node who serves a model by that exact name."""
        ...

    def draw(self, model: str, most: int, rng: Random) -> tuple[Sequence[Provider], int]:
        """Up to `most` of `providers(model)`, each as likely as any other, and how many there are.

        All of them when they are no more. Costs the same however many there are.
        """
        ...

    def provider(self, model: str, node: NodeId) -> Provider | None:
        """What a node but this one offers of a model; None when it does not."""
        ...

    def models(self) -> Sequence[Provider]:
        """Every (node, model) pair known, this node's own left out."""
        ...

    def seen_lately(self, model: str) -> bool:
        """True when someone served the model within the last ten minutes."""
        ...


class ProviderLookup(Protocol):
    """Asks the network who serves a model that nobody in the view does."""

    async def find_providers(self, model: str, *, timeout: float) -> Sequence[NodeRecord]:
        """Signed records of nodes that serve the model; empty when nobody was found."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `tenant` keys fairness and isolation."""

    tenant: str
    name: str = ""
    admin: bool = False


class Accounts(Protocol):
    """Turns what a caller presents into a principal."""

    def authenticate(self, token: str | None, *, local: bool) -> Principal | None:
        """None when the caller must not come in. `local`: the connection is from this machine."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What a gateway knows about a job besides its content."""

    job_id: JobId
    principal: Principal
    deadline: float
    """Seconds from now until the first byte must have come."""
    privacy: Privacy = "public"
    priority: int = 0
    request_id: str = ""
    """What the client calls it, which may not be unique; "" where that is the job's id."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Sign of life before the next chunk."""

    state: Literal["queued", "running"]
    position: int = 0
    """Jobs before this one in the worker's queue."""
    eta: float | None = None
    """Seconds until it is expected to start."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The worker was lost midway and another goes on; the next chunk follows the last one."""

    node: NodeId


JobEvent = Chunk | Finish | Progress | Resumed


class Run(Protocol):
    """A job that some worker has accepted."""

    @property
    def node(self) -> NodeId:
        """Who serves it now: another one after the first has failed or was lost."""
        ...

    @property
    def routing_seconds(self) -> float:
        """From submission until the offer that was accepted had left."""
        ...

    @property
    def queue_seconds(self) -> float:
        """Spent in the worker's queue, as the worker measured it."""
        ...

    @property
    def attempts(self) -> int: ...

    def events(self) -> AsyncIterator[JobEvent]:
        """Progress, chunks and Resumed, then exactly one Finish. Raises JobError."""
        ...

    async def close(self) -> None:
        """Stop the job wherever it runs. Harmless when it is over."""
        ...


class Dispatch(Protocol):
    """Finds a worker for a job: this node or a peer."""

    async def submit(self, job: JobSpec, request: Request) -> Run:
        """Returns when a worker accepted. Raises JobError (see mesh.errors) otherwise."""
        ...
