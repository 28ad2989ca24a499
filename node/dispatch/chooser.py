"""From a model's name to the workers in the order to try, by what this gateway knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from random import Random

from coordinator.scheduling.policy import Candidate, Decision, Demand, decide
from coordinator.scheduling.prefixes import Mark
from coordinator.scheduling.scout import DRAWN, MaySee, Scout, ShortList
from mesh.capability import Load, Peer, ServedModel
from mesh.errors import ModelNotFound, ModelUnavailable
from mesh.ids import NodeId
from mesh.ports import Provider, ProviderLookup, View
from node.dispatch.candidates import AUTO, OwnModels, not_found, prefer_real, resolve_alias
from node.dispatch.confidants import Confidants
from node.dispatch.counters import DispatchCounters
from node.settling import Settling

LOOKUP_SECONDS = 2.0
"""Patience for the DHT when nobody in the view serves a model."""
BUSY_LEAST, BUSY_MOST = 0.05, 2.0
"""A node that refused as busy is passed over for as long as it said, within these seconds."""
MAX_BUSY = 2_000
"""Nodes remembered as busy; as many as the directory holds."""
MAX_DRAWS = 4
"""Short lists drawn for one decision while everybody on them is busy."""

MayTake = Callable[[Candidate], bool]
"""Whether a candidate is one for this job at all: it has not failed at it, for instance."""


class Chooser:
    """Puts candidates in order: drawn from the view, this node among them, or looked up."""

    def __init__(
        self,
        *,
        node_id: NodeId,
        view: View,
        lookup: ProviderLookup | None,
        catalog: OwnModels,
        own_load: Callable[[], Load],
        aliases: Mapping[str, str],
        outstanding: Mapping[NodeId, int],
        counters: DispatchCounters,
        now: Callable[[], float],
        rng: Random,
        settling: Settling | None = None,
        confidants: Confidants | None = None,
    ) -> None:
        self._confidants = confidants or Confidants.of_nobody(node_id)
        self._node_id = node_id
        self._view = view
        self._lookup = lookup
        self._catalog = catalog
        self._own_load = own_load
        self._aliases = aliases
        self._counters = counters
        self._now = now
        self._rng = rng
        self._settling = settling
        self._busy: dict[NodeId, float] = {}
        self.scout = Scout(view, outstanding, now, rng)

    async def choose(
        self,
        model: str,
        demand: Demand,
        marks: tuple[Mark, ...],
        may_take: MayTake,
        patience: float,
    ) -> Decision:
        """Who should run it now. Raises ModelNotFound or ModelUnavailable when nobody serves it.

        An order without anybody: the constraints left nobody, or `may_take` did. A node that has
        just started waits, `patience` seconds at most, until it can know that nobody serves it.
        """
        name, found = self._find(model, demand, marks)
        if not found.candidates and self._settling is not None and not self._settling.over:
            await self._settling.wait(patience)
            name, found = self._find(model, demand, marks)
        if not found.candidates and name != AUTO and self._lookup is not None:
            found = await self._look_up(self._lookup, name)
        if not found.candidates and not found.excluded:
            raise self._nobody(name)
        decision = self._decide(found, demand, may_take)
        if found.known > DRAWN and name != AUTO:
            decision = self._look_further(decision, name, demand, marks, may_take)
        self.scout.keep(name, decision)
        return decision

    def seconds_busy(self, candidate: Candidate) -> float:
        """How long a node that refused as busy should still be passed over; 0.0: not at all."""
        until = self._busy.get(candidate.node)
        return 0.0 if until is None else max(0.0, until - self._now())

    def note_busy(self, candidate: Candidate, retry_after: float) -> None:
        """Remember a refusal so that this gateway does not knock again at once."""
        if len(self._busy) >= MAX_BUSY:
            self._busy.clear()
        pause = min(BUSY_MOST, max(BUSY_LEAST, retry_after))
        self._busy[candidate.node] = self._now() + pause

    def _decide(self, found: ShortList, demand: Demand, may_take: MayTake) -> Decision:
        candidates = [candidate for candidate in found.candidates if may_take(candidate)]
        if demand.privacy != "public":
            trust = self._confidants.of
            candidates = [dataclasses.replace(each, trust=trust(each.node)) for each in candidates]
        decision = decide(candidates, demand, self._rng, known=found.known)
        if not found.excluded:
            return decision
        return dataclasses.replace(decision, excluded={**found.excluded, **decision.excluded})

    def _look_further(
        self,
        decision: Decision,
        name: str,
        demand: Demand,
        marks: tuple[Mark, ...],
        may_take: MayTake,
    ) -> Decision:
        """Draw again while everybody drawn is busy; look at all when nobody drawn will do."""
        for _ in range(MAX_DRAWS - 1):
            if not decision.order or any(self.seconds_busy(c) <= 0 for c in decision.order):
                break
            decision = self._decide(self._named(name, marks), demand, may_take)
        if decision.order:
            return decision
        found = self.scout.search(name, demand, self._may_see(demand))
        return self._decide(self._with_own(found, name, marks), demand, may_take)

    def _find(self, model: str, demand: Demand, marks: tuple[Mark, ...]) -> tuple[str, ShortList]:
        """What a name means here now, and who serves that."""
        name = resolve_alias(model, self._aliases, self._serves) if self._aliases else model
        return name, self._auto(demand) if name == AUTO else self._named(name, marks)

    def _named(self, name: str, marks: tuple[Mark, ...]) -> ShortList:
        return self._with_own(self.scout.draw(name, marks), name, marks)

    def _with_own(self, found: ShortList, name: str, marks: tuple[Mark, ...]) -> ShortList:
        own = self._catalog.find(name)
        if own is None:
            return found
        _, ref, slots = own
        found.candidates.append(self._own(ServedModel(ref, slots), marks))
        found.known += 1
        return found

    def _auto(self, demand: Demand) -> ShortList:
        """Whatever text models there are; for a private request, where it may be seen."""
        everybody, may_see, hidden = self._view.models(), self._may_see(demand), 0
        if may_see is not None:
            seen = [each for each in everybody if may_see(each.peer.record.node_id)]
            everybody, hidden = seen, len(everybody) - len(seen)
        found = prefer_real([*everybody])
        known = len(found)
        if known > DRAWN:
            found = self._rng.sample(found, DRAWN)
        candidates = [self.scout.remote(provider) for provider in found]
        own = [self._own(model, ()) for model in self._catalog.models()]
        real = prefer_real([*candidates, *own])
        return ShortList(real, known + len(own), {"privacy": hidden} if hidden else {})

    def _may_see(self, demand: Demand) -> MaySee | None:
        """None where everybody may."""
        if demand.privacy == "public":
            return None
        return lambda node: self._confidants.may_see(node, demand.privacy)

    def _own(self, model: ServedModel, marks: tuple[Mark, ...]) -> Candidate:
        return self.scout.own(self._node_id, model, self._own_load(), marks)

    async def _look_up(self, lookup: ProviderLookup, name: str) -> ShortList:
        self._counters.lookups += 1
        records = await lookup.find_providers(name, timeout=LOOKUP_SECONDS)
        found = [
            self.scout.remote(Provider(Peer(record), served))
            for record in records
            for served in record.models
            if served.ref.name == name and record.node_id != self._node_id
        ]
        return ShortList(found, 0, {})

    def _serves(self, name: str) -> bool:
        own = any(model.ref.name == name for model in self._catalog.models())
        return own or self._view.draw(name, 1, self._rng)[1] > 0

    def _nobody(self, name: str) -> ModelNotFound | ModelUnavailable:
        if name == AUTO or self._view.seen_lately(name):
            return ModelUnavailable(
                f"No node serves '{name}' at present; try again shortly", param="model"
            )
        known = [model.ref.name for model in self._catalog.models()]
        known += [provider.model.ref.name for provider in self._view.models()]
        return not_found(name, [*known, *self._aliases])
