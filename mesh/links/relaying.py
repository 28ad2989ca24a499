"""All that a node has to do with relays: being one, using one, being reached through one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import WireError
from mesh.lifecycle import Tasks
from mesh.links.fair_share import RATE
from mesh.links.link import MeshLink
from mesh.links.pipe import Pipe
from mesh.links.relay_desk import RelayDesk
from mesh.links.relay_path import ConnectRelay, OpenPipe, RelayPath
from mesh.links.rendezvous import Rendezvous
from mesh.ports import Link, Stream
from mesh.wire import relay as wire


@dataclass(frozen=True, slots=True)
class RelayTerms:
    """What a relay's owner gives."""

    rate: float = RATE
    """Bytes a second in all."""


class Relaying:
    """Serves RELAY streams; `path` dials through relays, `desk` is there where this node is one."""

    def __init__(
        self,
        terms: RelayTerms | None,
        *,
        rendezvous: Rendezvous,
        connect: ConnectRelay,
        open_pipe: OpenPipe,
        accept: Callable[[Pipe], None],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self.path = RelayPath(connect=connect, open_pipe=open_pipe, accept=accept, tasks=tasks)
        self.desk = (
            None
            if terms is None
            else RelayDesk(rendezvous, clock=clock, tasks=tasks, rate=terms.rate)
        )

    async def serve(self, link: Link, stream: Stream) -> None:
        """Answer one request."""
        assert isinstance(link, MeshLink)
        data = await stream.receive()
        if data is None:
            return
        try:
            answer = self._answer(link, wire.decode_request(data))
        except WireError as error:
            answer = wire.Refused(str(error))
        await stream.send(wire.encode_answer(answer))
        stream.finish()

    def link_changed(self, link: MeshLink, up: bool) -> None:
        """Tell the desk of links that come and go."""
        if self.desk is not None:
            self.desk.link_changed(link, up)

    def close(self) -> None:
        """Cut what is relayed."""
        if self.desk is not None:
            self.desk.close()

    def _answer(self, link: MeshLink, request: wire.Request) -> wire.Answer:
        if isinstance(request, wire.Incoming):
            return self.path.come(link, request)
        if self.desk is None:
            return wire.Refused("this node relays for nobody")
        return self.desk.answer(link, request)
