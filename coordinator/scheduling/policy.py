"""Which node gets a job: hard constraints first, then the shortest predicted time.

Pure: everything a decision depends on is an argument, chance included. The shape follows "two
random choices" (Mitzenmacher 2001): among candidates about as good as the best, two are drawn and
the less loaded one wins, so that gateways with the same stale picture do not all pick one node.
Those that were among the best the last time stay so until they are clearly worse, and are looked
at again when there are too many candidates to look at all ("with memory", Mitzenmacher, Prabhakar
and Shah 2002).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from mesh.capability import Load, ModelRef, NodeState, ServedModel
from mesh.ids import NodeId
from mesh.jobs import Feature, Privacy
from mesh.privacy import suffices

DEFAULT_RTT = 0.05
"""Seconds assumed for a node without a link: it must be dialled first."""
DEFAULT_JOB_SECONDS = 1.0
"""Assumed length of a job where none has been measured."""
NEAR_BEST = 1.15
"""Candidates predicted within this factor of the best count as equals..."""
STAY_BEST = 1.35
"""...those that did so the last time, within this one: a wavering prediction changes nothing..."""
NEAR_BEST_SECONDS = 0.005
"""...and so do those within this many seconds of it."""
BUSY_PENALTY = 0.5
"""A full engine is taken to run each job this much longer than an idle one."""
COLD_SECONDS = 2.0
"""Assumed time to load a model into memory, for engines that do so on demand."""
LOADS_ON_DEMAND = frozenset({"ollama"})
"""Engine kinds for which `Candidate.warm` may be False."""
DEGRADED_PENALTY = 1.5
"""A degraded node is taken to run each job this many times longer: more than STAY_BEST, so that it
gets work when its equals are busy and not before."""
MOST_SAVED = 0.5
"""Of a node's predicted time, by having seen the prompt's beginning: it may not be much slower."""


@dataclass(slots=True, unsafe_hash=True)
class Candidate:
    """One node that serves the model, with the freshest load known of it.

    Never changed once made; not `frozen` because making one would take three times as long, and
    dozens are made for every request.
    """

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
    busy: int | None = None
    """Jobs there now as this gateway reckons; None: as reported."""
    run_seconds: float = 0.0
    """How long one job runs there while it is idle; 0.0: by the reported load."""
    warm: bool = True
    """The model is in memory, as far as is known."""
    saved: float = 0.0
    """Seconds less, because it worked on the beginning of this prompt and may have kept it."""
    recalled: bool = False
    """It was among the best the last time."""
    drawn: bool = True
    """It came by the draw; not because it was recalled or has seen the prompt."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a job requires of whoever runs it."""

    needs: tuple[Feature, ...] = ()
    privacy: Privacy = "public"
    tokens: int = 0
    """Prompt and answer together, at least; 0 when nobody knows."""


@dataclass(slots=True, unsafe_hash=True)
class Decision:
    """Candidates in the order to try, and how many fell to each hard constraint.

    Never changed once made, like `Candidate`.
    """

    order: tuple[Candidate, ...]
    excluded: Mapping[str, int] = field(default_factory=dict)
    known: int = 0
    """Nodes known to serve the model, of which the candidates may be a sample; 0: just these."""
    best: tuple[NodeId, ...] = ()
    """Those that count as equally good, to be recalled the next time."""

    @property
    def sampled(self) -> bool:
        """There are others who were not looked at."""
        return self.known > len(self.order) + sum(self.excluded.values())


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a candidate's predicted seconds consist of."""

    queue: float
    """Until a slot is free."""
    way: float
    """There and back, dialling included."""
    loading: float
    """Until the model is in memory."""
    run: float
    """The work, slowed by the other jobs there."""
    saved: float
    """Less, for what the node has seen of the prompt."""

    @property
    def seconds(self) -> float:
        return self.queue + self.way + self.loading + self.run - self.saved


_CLOSED: frozenset[NodeState] = frozenset({"draining", "gone", "starting"})


def exclude(candidate: Candidate, demand: Demand) -> str | None:
    """Why a candidate must not get the job, or None."""
    if candidate.state in _CLOSED:
        return candidate.state
    if demand.privacy != "public" and not suffices(candidate.trust, demand.privacy):
        return "privacy"
    return exclude_model(candidate.model.ref, demand)


def exclude_model(ref: ModelRef, demand: Demand) -> str | None:
    """Why a model as some node serves it cannot run the job, or None."""
    for feature in demand.needs:
        if feature not in ref.features:
            return f"no_{feature}"
    if ref.context and demand.tokens > ref.context:
        return "context"
    return None


def predict(candidate: Candidate) -> Prediction:
    """The time until the job would be complete, in its parts."""
    load, slots = candidate.load, max(1, candidate.model.slots)
    run = candidate.run_seconds or load.job_seconds or DEFAULT_JOB_SECONDS
    busy = _busy(candidate)
    queue = (busy - slots + 1) / slots * run if busy >= slots else 0.0
    way = DEFAULT_RTT if candidate.rtt is None else candidate.rtt
    loading = 0.0 if candidate.warm else COLD_SECONDS
    slowed = run * (1 + BUSY_PENALTY * min(1.0, busy / slots))
    if candidate.state == "degraded":
        slowed *= DEGRADED_PENALTY
    saved = min(candidate.saved, MOST_SAVED * (queue + way + loading + slowed))
    return Prediction(queue, way, loading, slowed, saved)


def predict_seconds(candidate: Candidate) -> float:
    """`predict(...).seconds`, written out for the usual case: it is what decisions cost."""
    if candidate.saved or not candidate.warm or candidate.state == "degraded":
        return predict(candidate).seconds
    load, slots = candidate.load, candidate.model.slots or 1
    run = candidate.run_seconds or load.job_seconds or DEFAULT_JOB_SECONDS
    busy = _busy(candidate)
    rtt = candidate.rtt
    way = DEFAULT_RTT if rtt is None else rtt
    if busy >= slots:
        return (busy - slots + 1) / slots * run + way + run * (1 + BUSY_PENALTY)
    return way + run * (1 + BUSY_PENALTY * busy / slots)


def decide(
    candidates: Sequence[Candidate], demand: Demand, rng: Random, *, known: int = 0
) -> Decision:
    """Order the candidates that may run the job; the first is the one to offer it to.

    `known`: how many nodes the candidates were drawn from.
    """
    excluded: dict[str, int] = {}
    fit: list[Candidate] = []
    for candidate in candidates:
        reason = exclude(candidate, demand)
        if reason is None:
            fit.append(candidate)
        else:
            excluded[reason] = excluded.get(reason, 0) + 1
    if len(fit) < 2:
        return Decision(tuple(fit), excluded, known, (fit[0].node,) if fit else ())
    scored = sorted([(predict_seconds(candidate), candidate) for candidate in fit], key=_seconds)
    near = _equals(scored)
    chosen = _choose([pair[1] for pair in near], rng)
    order = (chosen, *(candidate for _, candidate in scored if candidate is not chosen))
    return Decision(order, excluded, known, tuple(pair[1].node for pair in near))


def _seconds(pair: tuple[float, Candidate]) -> float:
    return pair[0]


def _equals(scored: list[tuple[float, Candidate]]) -> list[tuple[float, Candidate]]:
    """Those about as good as the first; `scored` is sorted."""
    best = scored[0][0]
    near = max(best * NEAR_BEST, best + NEAR_BEST_SECONDS)
    stay = max(best * STAY_BEST, near)
    return [pair for pair in scored if pair[0] <= near or (pair[0] <= stay and pair[1].recalled)]


def _choose(near: list[Candidate], rng: Random) -> Candidate:
    """The less busy of two random ones.

    Candidates that were drawn go before those that were added to the draw: with many equals, the
    few that are always looked at would get more than their share.
    """
    drawn = [candidate for candidate in near if candidate.drawn] or near
    count = len(drawn)
    if count == 1:
        return drawn[0]
    first = int(rng.random() * count)
    second = int(rng.random() * (count - 1))
    one, other = drawn[first], drawn[second + (second >= first)]
    return other if _utilisation(other) < _utilisation(one) else one


def _busy(candidate: Candidate) -> int:
    busy, outstanding = candidate.busy, candidate.outstanding
    if busy is None:
        busy = candidate.load.in_flight + candidate.load.queued
    return busy if busy > outstanding else outstanding


def _utilisation(candidate: Candidate) -> float:
    return _busy(candidate) / max(1, candidate.model.slots)
