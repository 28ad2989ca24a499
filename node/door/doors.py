"""All that a node has to do with public doors: keeping one, and having a name at another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mesh.errors import WireError
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, Stream, StreamKind
from mesh.wire import door as wire
from node.door.holder import DoorHolder
from node.door.keeper import DoorKeeper


class Doors:
    """Serves DOOR streams. Both parts are optional."""

    def __init__(
        self, links: Links, keeper: DoorKeeper | None, holder: DoorHolder | None, tasks: Tasks
    ) -> None:
        """Closes `tasks`, in which both run."""
        self._keeper = keeper
        self._holder = holder
        self._tasks = tasks
        links.serve(StreamKind.DOOR, self.serve)

    @property
    def descriptors(self) -> list[int]:
        """Numbers of the listening sockets."""
        return [] if self._keeper is None else self._keeper.descriptors

    @property
    def url(self) -> str:
        """This node's public URL; "" without one."""
        held = None if self._holder is None else self._holder.held
        return "" if held is None else held.url

    async def start(self) -> None:
        """Open the door, and ask for a name. Raises ConfigError."""
        if self._keeper is not None:
            await self._keeper.start()
        if self._holder is not None:
            self._holder.start()

    async def close(self) -> None:
        """Cut what passes."""
        if self._keeper is not None:
            self._keeper.close()
        if self._holder is not None:
            self._holder.close()
        await self._tasks.close()

    async def serve(self, link: Link, stream: Stream) -> None:
        """Answer one request."""
        data = await stream.receive()
        if data is None:
            return
        try:
            answer = self._answer(link, wire.decode_request(data))
        except WireError as error:
            answer = wire.Refused(str(error))
        await stream.send(wire.encode_answer(answer))
        stream.finish()

    def facts(self) -> Mapping[str, Any]:
        """For GET /api/node; null for what this node has not."""
        return {"held": self._held_facts(), "kept": self._kept_facts()}

    def note(self) -> str:
        """What the owner should know."""
        holder = self._holder
        missing = holder is not None and holder.held is None
        return f"no public door yet: {holder.reason}" if holder is not None and missing else ""

    def counters(self) -> Mapping[str, float]:
        """Figures for /metrics, by name."""
        figures: dict[str, float] = {}
        if self._holder is not None:
            figures["door_connections_held"] = self._holder.connections
        if self._keeper is not None:
            figures["door_names"] = self._keeper.names
            figures["door_connections_kept"] = self._keeper.connections
            counted = asdict(self._keeper.counters)
            figures |= {f"door_{name}_total": value for name, value in counted.items()}
        return figures

    def _answer(self, link: Link, request: wire.Request) -> wire.Answer:
        if isinstance(request, wire.Incoming):
            if self._holder is None:
                return wire.Refused("this node has no public door")
            return self._holder.come(link, request)
        if self._keeper is None:
            return wire.Refused("this node keeps no door")
        return self._keeper.register(link, request)

    def _held_facts(self) -> Mapping[str, Any] | None:
        if self._holder is None:
            return None
        held = self._holder.held
        certificate = None if held is None else held.certificate
        return {
            "url": self.url,
            "keeper": "" if held is None else held.keeper,
            "fingerprint": "" if certificate is None else certificate.fingerprint,
            "self_signed": certificate is not None and certificate.self_signed,
            "connections": self._holder.connections,
            "reason": self._holder.reason,
        }

    def _kept_facts(self) -> Mapping[str, Any] | None:
        if self._keeper is None:
            return None
        return {
            "port": self._keeper.port,
            "domain": self._keeper.domain,
            "names": self._keeper.names,
            "connections": self._keeper.connections,
            "waiting": self._keeper.waiting,
        }
