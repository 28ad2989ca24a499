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
from typing import NamedTuple

from coordinator.scheduling.experience import Experience
from coordinator.scheduling.policy import Candidate, Decision, Demand, exclude_model
from coordinator.scheduling.prefixes import Mark, Prefixes
from mesh.capability import Load, ServedModel
from mesh.ids import NodeId
from mesh.ports import Provider, View

DRAWN = 16
"""Workers that are drawn when there are more."""
MAX_RECALLED = 8
"""Of those that were best the last time, how many are looked at again."""
MAX_MODELS = 1_024
"""Models whose best workers are remembered."""
MAX_FOUND = 64
"""Candidates that a search through everybody gives."""
CHANCE = 0.01
"""Share of decisions in which one worker, not used for long, counts as fast as the usual one: it
may have recovered, which nobody would find out otherwise."""


class ShortList(NamedTuple):
    """Who is considered."""

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

    def demand(self, demand: Demand, model: str) -> Demand:
        """The demand, with the length that answers of the model usually have."""
        usual = self.experience.usual_answer(model)
        return dataclasses.replace(demand, answer_characters=usual)

    def draw(self, model: str, marks: tuple[Mark, ...] = ()) -> ShortList:
        """A few who serve a model by that name; all, when they are few."""
        drawn, known = self._view.draw(model, DRAWN, self._rng)
        recalled = self._best.get(model, ())
        seen = self.prefixes.find(marks, self._now()) if marks else {}
        if known <= DRAWN:
            candidates = [self.remote(each, recalled, seen) for each in drawn]
        else:
            candidates = self._draw_of_many(model, drawn, recalled, seen)
        if self._rng.random() < CHANCE and candidates:
            self._give_chance(candidates)
        return ShortList(candidates, known, {})

    def search(self, model: str, demand: Demand, without: frozenset[NodeId]) -> ShortList:
        """Up to MAX_FOUND who can run the job, found by looking at everybody.

        For demands so rare that a draw held nobody.
        """
        fit: list[Provider] = []
        excluded: dict[str, int] = {}
        everybody = self._view.providers(model)
        for each in everybody:
            reason = exclude_model(each.model.ref, demand)
            if reason is not None:
                excluded[reason] = excluded.get(reason, 0) + 1
            elif each.peer.record.node_id not in without:
                fit.append(each)
        if len(fit) > MAX_FOUND:
            fit = self._rng.sample(fit, MAX_FOUND)
        candidates = [self.remote(each, (), {}) for each in fit]
        return ShortList(candidates, len(everybody), excluded)

    def keep(self, model: str, decision: Decision) -> None:
        """Recall the best of a decision the next time."""
        self._best[model] = decision.best[:MAX_RECALLED]
        if len(self._best) > MAX_MODELS:
            self._best.popitem(last=False)

    def remote(
        self,
        provider: Provider,
        recalled: Sequence[NodeId] = (),
        seen: Mapping[NodeId, int] = {},
        drawn: bool = True,
    ) -> Candidate:
        """A peer as the policy sees it."""
        peer, model = provider.peer, provider.model
        record, load = peer.record, peer.load
        node, now, experience = record.node_id, self._now(), self.experience
        return Candidate(
            node,
            model,
            load,
            peer.rtt,
            self._outstanding.get(node, 0),
            record.state,
            record.addresses,
            "public",
            experience.busy(node, load),
            experience.run_seconds(node, model, load, len(record.models) == 1, now),
            experience.is_warm(node, model.ref.name, now),
            seen.get(node, 0) if seen else 0,
            node in recalled,
            drawn,
        )

    def own(
        self, node: NodeId, model: ServedModel, load: Load, marks: tuple[Mark, ...] = ()
    ) -> Candidate:
        """This very node as the policy sees it; `load` is as it is now."""
        now, name = self._now(), model.ref.name
        return Candidate(
            node,
            model,
            load,
            rtt=0.0,
            outstanding=self._outstanding.get(node, 0),
            trust="own",
            run_seconds=self.experience.run_seconds(node, model, load, False, now),
            warm=self.experience.is_warm(node, name, now),
            seen_characters=self.prefixes.find(marks, now).get(node, 0) if marks else 0,
            recalled=node in self._best.get(name, ()),
        )

    def _draw_of_many(
        self,
        model: str,
        drawn: Sequence[Provider],
        recalled: Sequence[NodeId],
        seen: Mapping[NodeId, int],
    ) -> list[Candidate]:
        candidates = [self.remote(each, recalled, seen) for each in drawn]
        listed = {candidate.node for candidate in candidates}
        for node in (*recalled, *seen):
            if node in listed:
                continue
            listed.add(node)
            provider = self._view.provider(model, node)
            if provider is not None:
                candidates.append(self.remote(provider, recalled, seen, drawn=False))
        return candidates

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
