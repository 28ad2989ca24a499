"""Which node gets a job: hard constraints first, then the shortest predicted time.

Pure: everything a decision depends on is an argument, chance included. The shape follows "two
random choices" (Mitzenmacher 2001): among candidates about as good as the best, two are drawn and
the less loaded one wins, so that gateways with the same stale picture do not all pick one node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from mesh.capability import Load, NodeState, ServedModel
from mesh.ids import NodeId
from mesh.jobs import Feature, Privacy

DEFAULT_RTT = 0.05
"""Seconds assumed for a node without a link: it must be dialled first."""
DEFAULT_JOB_SECONDS = 1.0
"""Assumed length of a job where none has been measured."""
NEAR_BEST = 1.25
"""Candidates predicted within this factor of the best count as equals..."""
NEAR_BEST_SECONDS = 0.005
"""...and so do those within this many seconds of it."""
BUSY_PENALTY = 0.5
"""A full engine is taken to run each job this much longer than an idle one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One node that serves the model, with the freshest load known of it."""

    node: NodeId
    model: ServedModel
    load: Load
    rtt: float | None = None
    """None: no link yet. 0.0: this very node."""
    outstanding: int = 0
    """Jobs this gateway has there now; newer than the reported load."""
    state: NodeState = "ready"
    addresses: tuple[str, ...] = ()
    """Where to dial it; no part of the decision."""
    trust: Privacy = "public"
    """The strictest privacy class the node may serve: "own" is this node itself."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a job requires of whoever runs it."""

    needs: tuple[Feature, ...] = ()
    privacy: Privacy = "public"
    tokens: int = 0
    """Prompt and answer together, at least; 0 when nobody knows."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Candidates in the order to try, and how many fell to each hard constraint."""

    order: tuple[Candidate, ...]
    excluded: Mapping[str, int]
    known: int = 0
    """Nodes known to serve the model, of which the candidates may be a sample; 0: just these."""


_TRUST_ORDER: Mapping[Privacy, int] = {"public": 0, "trusted": 1, "own": 2}


def exclude(candidate: Candidate, demand: Demand) -> str | None:
    """Why a candidate must not get the job, or None."""
    if candidate.state in ("draining", "gone", "starting"):
        return candidate.state
    if _TRUST_ORDER[candidate.trust] < _TRUST_ORDER[demand.privacy]:
        return "privacy"
    for feature in demand.needs:
        if feature not in candidate.model.ref.features:
            return f"no_{feature}"
    context = candidate.model.ref.context
    if context and demand.tokens > context:
        return "context"
    return None


def predict_seconds(candidate: Candidate) -> float:
    """Predicted seconds until the job would be complete: queue, way there and back, and work."""
    load, slots = candidate.load, max(1, candidate.model.slots)
    run = load.job_seconds or DEFAULT_JOB_SECONDS
    busy = max(load.in_flight + load.queued, candidate.outstanding)
    waiting = max(0, busy - slots + 1) / slots * run
    slowdown = 1 + BUSY_PENALTY * min(1.0, busy / slots)
    rtt = DEFAULT_RTT if candidate.rtt is None else candidate.rtt
    return waiting + rtt + run * slowdown


def decide(candidates: Sequence[Candidate], demand: Demand, rng: Random) -> Decision:
    """Order the candidates that may run the job; the first is the one to offer it to."""
    if len(candidates) == 1 and exclude(candidates[0], demand) is None:
        return Decision((candidates[0],), {})
    excluded: Counter[str] = Counter()
    scored: list[tuple[float, Candidate]] = []
    for candidate in candidates:
        if (reason := exclude(candidate, demand)) is not None:
            excluded[reason] += 1
        else:
            scored.append((predict_seconds(candidate), candidate))
    return Decision(_order(scored, rng), excluded)


def _order(scored: list[tuple[float, Candidate]], rng: Random) -> tuple[Candidate, ...]:
    if len(scored) < 2:
        return tuple(candidate for _, candidate in scored)
    # Shuffle first: the sort is stable, so equal predictions end up in random order.
    rng.shuffle(scored)
    scored.sort(key=lambda pair: pair[0])
    limit = max(scored[0][0] * NEAR_BEST, scored[0][0] + NEAR_BEST_SECONDS)
    near = sum(1 for seconds, _ in scored if seconds <= limit)
    if near > 1:
        first, second = sorted(rng.sample(range(near), 2))
        scored.insert(0, scored.pop(first))
        if _utilisation(scored[second][1]) < _utilisation(scored[0][1]):
            scored.insert(0, scored.pop(second))
    return tuple(candidate for _, candidate in scored)


def _utilisation(candidate: Candidate) -> float:
    busy = max(candidate.load.in_flight + candidate.load.queued, candidate.outstanding)
    return busy / max(1, candidate.model.slots)
