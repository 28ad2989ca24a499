"""The mesh's models as GET /v1/models and GET /api/models list them: from local state only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.capability import Peer, ServedModel
from mesh.ids import NodeId
from mesh.ports import Provider
from node.gateway.limits import MAX_LISTED_MODELS, MAX_LISTED_PROVIDERS

OWNER = "electrons"


Entry = tuple[NodeId, ServedModel, Peer | None]
"""A node, a model it serves, and the peer it is; None for this node."""


@dataclass(slots=True)
class Listing:
    """Everybody who serves one model name."""

    name: str
    providers: list[Entry]

    @property
    def description(self) -> str:
        """The first description anybody gave."""
        every = (model.ref.description for _, model, _ in self.providers)
        return next(filter(None, every), "")

    @property
    def context(self) -> int:
        """The largest context on offer; 0 when nobody says."""
        return max(model.ref.context for _, model, _ in self.providers)

    @property
    def nodes(self) -> int:
        """How many nodes serve it."""
        return len({node for node, _, _ in self.providers})


def gather(
    own: Sequence[ServedModel], node: NodeId, elsewhere: Sequence[Provider]
) -> dict[str, Listing]:
    """Listings by model name, this node's own models first."""
    entries: dict[str, list[Entry]] = {}
    for model in own:
        entries.setdefault(model.ref.name, []).append((node, model, None))
    for provider in elsewhere:
        peer, model = provider.peer, provider.model
        known = entries.get(model.ref.name)
        if known is None:
            if len(entries) >= MAX_LISTED_MODELS:
                continue
            known = entries[model.ref.name] = []
        known.append((peer.record.node_id, model, peer))
    return {name: Listing(name, providers) for name, providers in entries.items()}


def model_objects(
    listings: Mapping[str, Listing], aliases: Mapping[str, str], created: int
) -> Iterator[dict[str, Any]]:
    """OpenAI model objects; an alias is listed while what it means is served."""
    for listing in listings.values():
        yield _model_object(listing.name, listing, listing.description, created)
    for alias, target in aliases.items():
        if alias not in listings and (meant := listings.get(target)) is not None:
            words = f"{alias} means {target} here. {meant.description}".strip()
            yield _model_object(alias, meant, words, created)


def model_list(
    listings: Mapping[str, Listing], aliases: Mapping[str, str], created: int
) -> dict[str, Any]:
    """The body of GET /v1/models."""
    return {"object": "list", "data": list(model_objects(listings, aliases, created))}


def _model_object(name: str, listing: Listing, description: str, created: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": OWNER,
        "description": description,
        "nodes": listing.nodes,
        "context": listing.context,
    }


def model_details(listings: Mapping[str, Listing]) -> dict[str, Any]:
    """The body of GET /api/models: each model with who serves it and how busy they are."""
    return {"models": [_details(listing) for listing in listings.values()]}


def _details(listing: Listing) -> dict[str, Any]:
    shown = listing.providers[:MAX_LISTED_PROVIDERS]
    return {
        "id": listing.name,
        "description": listing.description,
        "context": listing.context,
        "nodes": listing.nodes,
        "providers": [_provider(*entry) for entry in shown],
    }


def _provider(node: NodeId, model: ServedModel, peer: Peer | None) -> dict[str, Any]:
    ref = model.ref
    return {
        "node_id": node,
        "own": peer is None,
        "engine": ref.engine,
        "digest": ref.digest,
        "quantisation": ref.quantisation,
        "modality": ref.modality,
        "features": list(ref.features),
        "slots": model.slots,
        "speed": model.speed,
        "state": "ready" if peer is None else peer.record.state,
        "in_flight": None if peer is None else peer.load.in_flight,
        "queued": None if peer is None else peer.load.queued,
        "rtt_ms": None if peer is None else rtt_ms(peer),
    }


def rtt_ms(peer: Peer) -> float | None:
    """Round trip in milliseconds with two decimals; None without a link."""
    return None if peer.rtt is None else round(peer.rtt * 1000, 2)
