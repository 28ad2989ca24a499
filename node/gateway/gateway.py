"""The HTTP gateway of one node: builds its parts, starts and stops them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

from coordinator.scheduling.trace import Traces
from mesh.clock import Clock, SystemClock
from mesh.ids import NodeId
from mesh.ports import Accounts, Dispatch, View
from node.gateway.admission_handlers import AdmissionHandlers
from node.gateway.application import HEALTH, LIVE, Application, Handler
from node.gateway.exchange import Answer, Incoming, Reply
from node.gateway.full_server import MeshWebSocket
from node.gateway.generation import Generation
from node.gateway.group_handlers import GroupHandlers
from node.gateway.info_handlers import InfoHandlers
from node.gateway.metrics import Metrics
from node.gateway.openai_handlers import OpenAIHandlers
from node.gateway.owner_handlers import OwnerHandlers
from node.gateway.routes import Route
from node.gateway.server import Server
from node.gateway.service_handlers import ServiceHandlers
from node.gateway.settings import GatewaySettings, Suppliers
from node.gateway.text_handlers import TextHandlers
from node.gateway.tls_files import TlsFiles
from node.gateway.why_handler import PREFIX, WhyHandler


class Gateway:
    """Every node's front door. Turns HTTP into jobs for a `Dispatch` and events back into HTTP."""

    def __init__(
        self,
        *,
        node_id: NodeId,
        dispatch: Dispatch,
        view: View,
        accounts: Accounts,
        suppliers: Suppliers,
        services: ServiceHandlers | None = None,
        owner: OwnerHandlers | None = None,
        group: GroupHandlers | None = None,
        admission: AdmissionHandlers | None = None,
        settings: GatewaySettings | None = None,
        mesh_websocket: MeshWebSocket | None = None,
        clock: Clock | None = None,
        lean: bool = True,
        traces: Traces | None = None,
    ) -> None:
        """`services`, `owner`, `group` or `admission` None: nothing of that is answered here.

        `mesh_websocket` serves GET
        /mesh; `lean` False is for comparison only.
        """
        settings = settings or GatewaySettings()
        clock = clock or SystemClock()
        self._metrics = Metrics()
        generation = Generation(
            dispatch=dispatch, metrics=self._metrics, settings=settings, clock=clock
        )
        info = InfoHandlers(
            node_id=node_id,
            view=view,
            suppliers=suppliers,
            metrics=self._metrics,
            connections=lambda: self._server.open_connections,
            draining=lambda: self._application.draining,
            created=int(time.time()),
        )
        text = TextHandlers(
            generation=generation, serves=info.serves, engine_of=info.engine_of, clock=clock
        )
        why = WhyHandler(Traces() if traces is None else traces)
        self.routes = build_routes(OpenAIHandlers(generation), text, info, why)
        self.routes += [] if services is None else services.routes()
        self.routes += [] if owner is None else owner.routes()
        self.routes += [] if group is None else group.routes()
        self.routes += [] if admission is None else admission.routes()
        self._application = Application(
            routes=self.routes,
            accounts=accounts,
            metrics=self._metrics,
            settings=settings,
            clock=clock,
        )
        self._server = Server(
            application=self._application,
            settings=settings,
            mesh_websocket=mesh_websocket,
            lean=lean,
        )

    @property
    def port(self) -> int:
        """The TCP port that listens; 0 before `start`."""
        addresses = self._server.addresses
        return addresses[0][1] if addresses else 0

    @property
    def in_flight(self) -> int:
        """Requests being served now."""
        return self._metrics.in_flight

    @property
    def descriptors(self) -> list[int]:
        """Numbers of the listening sockets."""
        return self._server.descriptors

    @property
    def beside(self) -> int:
        """The loopback port without TLS beside a port with it; 0 when there is none."""
        return self._server.beside

    async def start(
        self,
        host: str,
        port: int,
        *,
        inherited: socket.socket | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        """Listen; port 0 picks a free one, `inherited` listens already. Raises OSError."""
        await self._server.start(host, port, inherited=inherited, tls=tls)

    def take(self, transport: asyncio.Transport) -> None:
        """Serve a connection that came through a door: its get_extra_info tells DOOR."""
        self._server.place(transport)

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Refuse new requests, let running ones finish for so long, then cancel the rest."""
        self._application.draining = True
        self._server.stop_accepting()
        if drain_seconds > 0:
            await self._application.wait_idle(drain_seconds)
        await self._server.close()


def build_routes(
    openai: OpenAIHandlers, text: TextHandlers, info: InfoHandlers, why: WhyHandler
) -> list[Route[Handler]]:
    """The route table. Every route asks for credentials unless it says `open`."""
    return [
        Route("POST", "/v1/chat/completions", openai.chat),
        Route("POST", "/v1/completions", openai.completion),
        Route("GET", "/v1/models", _answering(info.models)),
        Route("GET", "/v1/models/", _answering(info.model), label="/v1/models/{id}"),
        Route("POST", "/text/generate", text.generate),
        Route("POST", "/generate", text.generate),
        Route("POST", "/text/generate/stream", text.stream),
        Route("POST", "/generate/stream", text.stream),
        Route("GET", HEALTH, _answering(info.health)),
        Route("GET", LIVE, _answering(info.live), open=True),
        Route("GET", "/metrics", _answering(info.metrics)),
        Route("GET", "/api/node", _answering(info.node)),
        Route("GET", "/api/peers", _answering(info.peers)),
        Route("GET", "/api/models", _answering(info.model_details)),
        Route("GET", PREFIX, _answering(why.why), label="/api/requests/{id}/why"),
        Route("GET", "/", _answering(info.page), open=True),
        Route("GET", "/openapi.json", _answering(info.openapi)),
    ]


def _answering(
    answer: Callable[[Incoming], Answer],
) -> Callable[[Incoming, Reply], Awaitable[None]]:
    """A handler for what is answered at once."""

    async def handler(incoming: Incoming, reply: Reply) -> None:
        await reply.send(answer(incoming))

    return handler
