"""Whom to consider for a job: a few of all who serve the model, with what is known of each.

Looking at everybody would cost milliseconds with thousands of workers. A random few are nearly as
good ("power of d choices", Mitzenmacher 2001), with those added that were best the last time and
those that have worked on the beginning of the same prompt.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from random import Random

from coordinator.scheduling.experience import Experience
from coordinator.scheduling.policy import (
    DEFAULT_JOB_SECONDS,
    LOADS_ON_DEMAND,
    Candidate,
    Decision,
    Demand,
    exclude_model,
)
from coordinator.scheduling.prefixes import Mark, Prefixes
from mesh.capability import Load, ServedModel
from mesh.ids import NodeId
from mesh.ports import Provider, View

DRAWN = 12
"""Workers that are drawn when there are more."""
MAX_RECALLED = 4
"""Of those that were best the last time, how many are looked at again."""
MAX_MODELS = 1_024
"""Models whose best workers are remembered."""
MAX_FOUND = 64
"""Candidates that a search through everybody gives."""
PREFILL_SHARE = 1 / 16
"""Time to read a character of the prompt over the time to write one; less on large GPUs."""
CHANCE = 0.01
"""Share of decisions in which one worker, not used for long, counts as fast as the usual one: it
may have recovered, which nobody would find out otherwise."""

MaySee = Callable[[NodeId], bool]
"""Whether a node may see the request."""


@dataclasses.dataclass(slots=True)
class ShortList:
    """Who is considered. Belongs to whoever asked for it."""

    candidates: list[Candidate]
    known: int
    """How many there are to consider."""
    excluded: Mapping[str, int]
    """Those left out before, by reason."""


class Scout:
    """Draws up short lists for one gateway; `experience` and `prefixes` are to be kept fed."""

    def __init__(
        self,
        view: View,
        outstanding: Mapping[NodeId, int],
        now: Callable[[], float],
        rng: Random,
    ) -> None:
        """`outstanding`: jobs of this gateway per node, kept by the caller."""
        self.experience = Experience()
        self.prefixes = Prefixes()
        self._view = view
        self._outstanding = outstanding
        self._now = now
        self._rng = rng
        self._best: OrderedDict[str, tuple[NodeId, ...]] = OrderedDict()

    def draw(self, model: str, marks: tuple[Mark, ...] = ()) -> ShortList:
        """A few who serve a model by that name; all, when they are few."""
        drawn, known = self._view.draw(model, DRAWN, self._rng)
        recalled = self._best.get(model, ())
        seen = self.prefixes.find(marks, self._now()) if marks else {}
        candidates = self._remotes(drawn, recalled, seen)
        if known > DRAWN:
            candidates += self._remotes(
                self._added(model, candidates, recalled, seen), recalled, seen, drawn=False
            )
        if self._rng.random() < CHANCE and candidates:
            self._give_chance(candidates)
        return ShortList(candidates, known, {})

    def search(self, model: str, demand: Demand, may_see: MaySee | None = None) -> ShortList:
        """Up to MAX_FOUND who can run the job, found by looking at everybody.

        For demands so rare that a draw held nobody. `may_see`: of whom to find any at all.
        """
        fit: list[Provider] = []
        excluded: dict[str, int] = {}
        everybody = self._view.providers(model)
        for each in everybody:
            reason = exclude_model(each.model.ref, demand)
            if may_see is not None and not may_see(each.peer.record.node_id):
                reason = "privacy"
            if reason is not None:
                excluded[reason] = excluded.get(reason, 0) + 1
            else:
                fit.append(each)
        if len(fit) > MAX_FOUND:
            fit = self._rng.sample(fit, MAX_FOUND)
        candidates = self._remotes(fit, (), {})
        return ShortList(candidates, len(everybody), excluded)

    def keep(self, model: str, decision: Decision) -> None:
        """Recall the best of a decision the next time."""
        self._best[model] = decision.best[:DRAWN]
        if len(self._best) > MAX_MODELS:
            self._best.popitem(last=False)

    def remote(self, provider: Provider) -> Candidate:
        """A peer as the policy sees it."""
        return self._remotes([provider], (), {})[0]

    def own(
        self, node: NodeId, model: ServedModel, load: Load, marks: tuple[Mark, ...] = ()
    ) -> Candidate:
        """This very node as the policy sees it; `load` is as it is now."""
        now, name = self._now(), model.ref.name
        seen = self.prefixes.find(marks, now) if marks else {}
        return Candidate(
            node,
            model,
            load,
            rtt=0.0,
            outstanding=self._outstanding.get(node, 0),
            trust="own",
            run_seconds=self.experience.run_seconds(node, model, load, False, now),
            warm=model.ref.engine not in LOADS_ON_DEMAND
            or self.experience.is_warm(node, name, now),
            saved=self._saved(seen, node, model, load) if node in seen else 0.0,
            recalled=node in self._best.get(name, ()),
        )

    def _remotes(
        self,
        providers: Sequence[Provider],
        recalled: Sequence[NodeId],
        seen: Mapping[NodeId, int],
        drawn: bool = True,
    ) -> list[Candidate]:
        """Peers as the policy sees them; written to be fast: it is done for every request."""
        now, outstanding = self._now(), self._outstanding
        busy, run_seconds = self.experience.busy, self.experience.run_seconds
        is_warm = self.experience.is_warm
        candidates: list[Candidate] = []
        for provider in providers:
            peer, model = provider.peer, provider.model
            record, load, ref = peer.record, peer.load, model.ref
            node = record.node_id
            candidates.append(
                Candidate(
                    node,
                    model,
                    load,
                    peer.rtt,
                    outstanding.get(node, 0),
                    record.state,
                    record.addresses,
                    "public",
                    busy(node, load),
                    run_seconds(node, model, load, len(record.models) == 1, now),
                    ref.engine not in LOADS_ON_DEMAND or is_warm(node, ref.name, now),
                    self._saved(seen, node, model, load) if node in seen else 0.0,
                    node in recalled,
                    drawn,
                )
            )
        return candidates

    def _saved(
        self, seen: Mapping[NodeId, int], node: NodeId, model: ServedModel, load: Load
    ) -> float:
        """Seconds that the node need not spend on what it has seen of the prompt."""
        now = self._now()
        run = self.experience.run_seconds(node, model, load, False, now) or DEFAULT_JOB_SECONDS
        return seen[node] / self.experience.usual_answer(model.ref.name) * run * PREFILL_SHARE

    def _added(
        self,
        model: str,
        candidates: Sequence[Candidate],
        recalled: Sequence[NodeId],
        seen: Mapping[NodeId, int],
    ) -> list[Provider]:
        """Those worth looking at that the draw has missed."""
        listed = {candidate.node for candidate in candidates}
        wanted = [n for n in (*recalled[:MAX_RECALLED], *seen) if n not in listed]
        found = [self._view.provider(model, node) for node in dict.fromkeys(wanted)]
        return [provider for provider in found if provider is not None]

    def _give_chance(self, candidates: list[Candidate]) -> None:
        usual = self.experience.usual_seconds(candidates[0].model.ref.name)
        slow = [
            place
            for place, candidate in enumerate(candidates)
            if 0 < usual < candidate.run_seconds and self._is_unseen(candidate)
        ]
        if slow:
            place = self._rng.choice(slow)
            candidates[place] = dataclasses.replace(candidates[place], run_seconds=usual)

    def _is_unseen(self, candidate: Candidate) -> bool:
        return self.experience.is_unseen(candidate.node, candidate.model.ref.name, self._now())
