"""Ways through relays: to a node that nobody can dial, and from it to who asks for it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from mesh.errors import DialError, LinkError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.link import MeshLink
from mesh.links.pipe import Address, Pipe, PipeReceiver, parse_address, relay_address
from mesh.ports import StreamKind
from mesh.wire import relay as wire

log = logging.getLogger(__name__)

ASK_SECONDS = 4.0
RESERVE_SECONDS = 4.0
RELAY_DIAL_SECONDS = 4.0

OpenPipe = Callable[[Address], Awaitable[Pipe]]
ConnectRelay = Callable[[NodeId, tuple[str, ...], float], Awaitable[MeshLink]]


class RelayedPipe:
    """A pipe through a relay: another pipe's, with the circuit as its remote."""

    def __init__(self, pipe: Pipe, remote: str) -> None:
        self.remote = remote
        self.source = pipe.source
        self.write = pipe.write
        self.pause_reading = pipe.pause_reading
        self.resume_reading = pipe.resume_reading
        self.close = pipe.close
        self.abort = pipe.abort
        self._pipe = pipe

    def attach(self, receiver: PipeReceiver) -> None:
        self._pipe.attach(receiver)


class RelayPath:
    """Dials through relays, and answers them when somebody comes that way."""

    def __init__(
        self,
        *,
        connect: ConnectRelay,
        open_pipe: OpenPipe,
        accept: Callable[[Pipe], None],
        tasks: Tasks,
    ) -> None:
        """`open_pipe` opens plain pipes; `accept` shakes hands on one as the dialled side."""
        self._connect = connect
        self._open_pipe = open_pipe
        self._accept = accept
        self._tasks = tasks
        self._trusted: set[NodeId] = set()
        """Relays at which this node has reserved: nobody else may send it anywhere."""

    async def open(self, address: Address) -> Pipe:
        """A pipe to the node of a relay address. Raises DialError."""
        relay, node, hint = address.relayed
        link = await self._connect(relay, (str(hint),), RELAY_DIAL_SECONDS)
        answer = await self._ask(link, wire.Connect(node), ASK_SECONDS)
        if not isinstance(answer, wire.Circuit):
            raise DialError(f"{address}: the relay refused: {_reason(answer)}")
        return await self._bring(way_back(link, hint), answer.token, str(address))

    async def reserve(self, link: MeshLink) -> int:
        """Be reached through the relay at the other end; its circuits. Raises DialError."""
        answer = await self._ask(link, wire.Reserve(), RESERVE_SECONDS)
        if not isinstance(answer, wire.Reserved):
            raise DialError(f"relay {link.peer[:8]} refused: {_reason(answer)}")
        self._trusted.add(link.peer)
        return answer.circuits

    def give_up(self, relay: NodeId) -> None:
        """Follow no more calls of this relay."""
        self._trusted.discard(relay)

    def come(self, link: MeshLink, incoming: wire.Incoming) -> wire.Answer:
        """The relay says that somebody wants to reach this node."""
        if link.peer not in self._trusted:
            return wire.Refused("this node has not reserved here")
        back = way_back(link, None)
        if back is None:
            return wire.Refused("this node does not know how to dial the relay")
        self._tasks.spawn(self._meet(link.peer, back, incoming), "circuit")
        return wire.Accepted()

    async def open_back(self, link: MeshLink, token: bytes) -> Pipe:
        """Another pipe to a linked node, for who awaits the token there. Raises DialError."""
        return await self._bring(way_back(link, None), token, link.remote)

    async def _meet(self, relay: NodeId, back: Address, incoming: wire.Incoming) -> None:
        remote = str(relay_address(back, relay, incoming.origin))
        try:
            self._accept(await self._bring(back, incoming.token, remote))
        except DialError as error:
            log.debug("circuit fails relay=%s cause=%s", relay, error)

    async def _bring(self, back: Address | None, token: bytes, remote: str) -> Pipe:
        if back is None:
            raise DialError(f"{remote}: the relay has no address that can be dialled")
        pipe = await self._open_pipe(back)
        pipe.write(wire.encode_preamble(token))
        return RelayedPipe(pipe, remote)

    async def _ask(self, link: MeshLink, request: wire.Request, seconds: float) -> wire.Answer:
        try:
            data = await link.call(StreamKind.RELAY, wire.encode_request(request), timeout=seconds)
            return wire.decode_answer(data)
        except (LinkError, WireError) as error:
            raise DialError(f"relay {link.peer[:8]}: {error}") from None
        except TimeoutError:
            raise DialError(f"relay {link.peer[:8]} did not answer in {seconds:g} s") from None


def way_back(link: MeshLink, hint: Address | None) -> Address | None:
    """By which address to open another pipe to a linked node: the one that worked, if any."""
    known = (link.dialled_address or "", "" if hint is None else str(hint))
    for text in filter(None, (*known, *link.hello.addresses)):
        try:
            address = parse_address(text)
        except ValueError:
            continue
        if address.scheme != "relay":
            return address
    return None


def _reason(answer: wire.Answer) -> str:
    return answer.reason if isinstance(answer, wire.Refused) else "it answered something else"
