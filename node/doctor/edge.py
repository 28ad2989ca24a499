"""Edge routers: whether they answer as such, and know anybody of this mesh."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mesh.errors import WireError
from mesh.links.proxy import Proxy
from mesh.wire.edge import decode_seeds
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient
from node.doctor.routes import proxy_for
from node.doctor.targets import target_of_url
from node.doctor.web import NoAnswer, ask
from node.network import resolve_network

AREA = "edge router"
NOBODY = "0" * 40
"""Asks for seeds as nobody in particular; an announcement is never made."""


@dataclass(frozen=True, slots=True)
class EdgeFacts:
    """What one edge router answered."""

    place: str
    status: int = 0
    """0: it did not answer."""
    healthy: bool = False
    seeds: int | None = None
    """Nodes of this mesh that it knows; None when it did not say."""
    error: str = ""


async def examine_edges(patient: Patient) -> Sequence[Finding]:
    """See `judge_edge`."""
    edges = patient.config.edge if patient.config is not None else ()
    if not edges:
        return [skipped(AREA, "No edge router is configured")]
    facts = await asyncio.gather(*(_ask_edge(patient, url) for url in edges))
    return [judge_edge(each) for each in facts]


def judge_edge(facts: EdgeFacts) -> Finding:
    """Whether it can help to find the mesh."""
    if not facts.status:
        cure = "see whether its URL is right and whether it runs; other ways to join need no edge"
        return problem(AREA, f"{facts.place} does not answer", cure, facts.error)
    if not facts.healthy:
        what = f"{facts.place} answers, but not as an edge router (status {facts.status})"
        return problem(AREA, what, "correct the URL in `edge`")
    if facts.seeds is None:
        what = f"{facts.place} is well, but does not say who is in this mesh"
        return warning(AREA, what, "wait a minute and try again: it may limit how often one asks")
    if facts.seeds == 0:
        what = f"{facts.place} is well and knows nobody of this mesh"
        cure = "see that `network` is the same everywhere; one node of it must be reachable"
        return warning(AREA, what, cure)
    return ok(AREA, f"{facts.place} is well and knows {facts.seeds} nodes of this mesh")


async def _ask_edge(patient: Patient, url: str) -> EdgeFacts:
    target = target_of_url("edge router", url)
    place, proxy = urlsplit(url).netloc, proxy_for(patient, target)
    try:
        answer = await ask(f"{url}/health", proxy=proxy)
    except NoAnswer as error:
        return EdgeFacts(place, error=str(error))
    if answer.status != 200 or not _is_healthy(answer.body):
        return EdgeFacts(place, answer.status)
    return EdgeFacts(place, 200, True, await _count_seeds(patient, url, proxy))


async def _count_seeds(patient: Patient, url: str, proxy: Proxy | None) -> int | None:
    network = patient.config.network if patient.config is not None else ""
    query = f"mesh={resolve_network(network)}&node={NOBODY}"
    try:
        answer = await ask(f"{url}/seeds?{query}", proxy=proxy)
        return len(decode_seeds(answer.body)) if answer.status == 200 else None
    except (NoAnswer, WireError):
        return None


def _is_healthy(body: bytes) -> bool:
    try:
        read = json.loads(body)
    except ValueError:
        return False
    return isinstance(read, dict) and read.get("status") == "ok" and "nodes" in read
