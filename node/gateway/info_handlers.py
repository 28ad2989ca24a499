"""Handlers that answer from local state alone: models, peers, this node, health, metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from mesh.errors import ModelNotFound
from mesh.ids import NodeId
from mesh.ports import View
from node.console.page import console_page
from node.gateway import metrics as exposition
from node.gateway.exchange import Answer, Incoming
from node.gateway.metrics import Metrics
from node.gateway.models import Listing, gather, model_details, model_list, model_objects
from node.gateway.openapi import openapi_document
from node.gateway.peers import peer_list
from node.gateway.settings import Suppliers

_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class InfoHandlers:
    """Read-only routes. None of them asks another node."""

    def __init__(
        self,
        *,
        node_id: NodeId,
        view: View,
        suppliers: Suppliers,
        metrics: Metrics,
        connections: Callable[[], int],
        draining: Callable[[], bool],
        created: int,
    ) -> None:
        """`created` is the Unix time models are said to exist since: this gateway's start."""
        self._node_id = node_id
        self._view = view
        self._suppliers = suppliers
        self._metrics = metrics
        self._connections = connections
        self._draining = draining
        self._created = created

    def models(self, incoming: Incoming) -> Answer:
        """GET /v1/models."""
        aliases = self._suppliers.aliases()
        return _json(model_list(self._gather(), aliases, self._created))

    def model(self, incoming: Incoming) -> Answer:
        """GET /v1/models/{id}; the id may hold slashes."""
        aliases = self._suppliers.aliases()
        for model in model_objects(self._gather(), aliases, self._created):
            if model["id"] == incoming.tail:
                return _json(model)
        raise ModelNotFound(f"nobody here knows the model {incoming.tail[:200]!r}")

    def model_details(self, incoming: Incoming) -> Answer:
        """GET /api/models."""
        return _json(model_details(self._gather()))

    def peers(self, incoming: Incoming) -> Answer:
        """GET /api/peers."""
        return _json(peer_list(self._view.peers()))

    def node(self, incoming: Incoming) -> Answer:
        """GET /api/node: what the node says of itself, and what its gateway is busy with."""
        gateway = {
            "in_flight": self._metrics.in_flight,
            "connections": self._connections(),
            "draining": self._draining(),
        }
        info = {"node_id": self._node_id, "in_flight": 0, **self._suppliers.node_info()}
        return _json({**info, "gateway": gateway})

    def health(self, incoming: Incoming) -> Answer:
        """GET /health: 200 when the node should be sent work, else 503."""
        health = self._suppliers.health()
        ready = health.ready and not self._draining()
        body: dict[str, Any] = {
            "status": "healthy" if ready else "unhealthy",
            "live": True,
            "ready": ready,
            "state": "draining" if self._draining() else health.state,
        }
        if health.reason:
            body["reason"] = health.reason
        return _json(body, status=200 if ready else 503)

    def live(self, incoming: Incoming) -> Answer:
        """GET /health/live: the process answers. Needs no credentials and tells nothing else."""
        return _json({"live": True})

    def metrics(self, incoming: Incoming) -> Answer:
        """GET /metrics."""
        gauges = {"http_connections": self._connections(), **self._suppliers.counters()}
        page = self._metrics.render(gauges)
        return Answer(200, page, exposition.CONTENT_TYPE)

    def page(self, incoming: Incoming) -> Answer:
        """GET /: a page without any data in it; it asks for a key when the API does."""
        headers = [
            ("content-security-policy", _PAGE_POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
        ]
        return Answer(200, console_page(), "text/html; charset=utf-8", headers)

    def openapi(self, incoming: Incoming) -> Answer:
        """GET /openapi.json."""
        return Answer(200, openapi_document())

    def serves(self, model: str) -> bool:
        """Whether anybody is known to serve a model, this node included; aliases count."""
        return (
            any(served.ref.name == model for served in self._suppliers.own_models())
            or model in self._suppliers.aliases()
            or bool(self._view.providers(model))
        )

    def engine_of(self, model: str, node: NodeId) -> str:
        """The engine that serves a model on a node, as far as is known."""
        name = self._suppliers.aliases().get(model, model)
        listing = self._gather().get(name)
        for provider, served, _ in listing.providers if listing else ():
            if provider == node:
                return served.ref.engine
        return "electrons"

    def _gather(self) -> dict[str, Listing]:
        own = self._suppliers.own_models()
        return gather(own, self._node_id, self._view.models())


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(value))
