"""Short lists: few of many, none left out for ever, constraints kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from coordinator.scheduling import policy
from coordinator.scheduling.policy import Demand, decide, exclude
from coordinator.scheduling.prefixes import Mark
from coordinator.scheduling.scout import DRAWN, MAX_FOUND, MAX_RECALLED, Scout
from mesh.capability import Load, ModelRef, NodeRecord, NodeState, Peer, ServedModel
from mesh.ids import NodeId
from mesh.ports import Provider

PLAIN = ModelRef("m", "test")
TOOLS = ModelRef("m", "test", features=("tools",))


def node(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


def provider(
    number: int, *, ref: ModelRef = PLAIN, speed: float = 20.0, state: NodeState = "ready"
) -> Provider:
    served = ServedModel(ref, 4, speed)
    record = NodeRecord(node(number), 1, 0.0, 60.0, state=state, models=(served,))
    return Provider(Peer(record, Load(slots=4), 0.001, True), served)


class ListView:
    """A view over a list, and how many it had to show."""

    def __init__(self, listed: Sequence[Provider]) -> None:
        self.listed = list(listed)
        self.by_node = {each.peer.record.node_id: each for each in listed}
        self.shown = 0

    def peers(self) -> Sequence[Peer]:
        return [each.peer for each in self.listed]

    def providers(self, model: str) -> Sequence[Provider]:
        self.shown += len(self.listed)
        return self.listed

    def draw(self, model: str, most: int, rng: Random) -> tuple[Sequence[Provider], int]:
        drawn = rng.sample(self.listed, min(most, len(self.listed)))
        self.shown += len(drawn)
        return drawn, len(self.listed)

    def provider(self, model: str, node: NodeId) -> Provider | None:
        self.shown += 1
        return self.by_node.get(node)

    def models(self) -> Sequence[Provider]:
        return self.listed

    def seen_lately(self, model: str) -> bool:
        return True


def scout_of(view: ListView, seed: int = 1) -> Scout:
    return Scout(view, Counter(), lambda: 0.0, Random(seed))


def test_of_few_all_are_considered() -> None:
    found = scout_of(ListView([provider(n) for n in range(DRAWN)])).draw("m")
    assert {candidate.node for candidate in found.candidates} == {node(n) for n in range(DRAWN)}
    assert found.known == DRAWN


def test_of_many_only_a_few_are_looked_at() -> None:
    view = ListView([provider(n) for n in range(10_000)])
    scout = scout_of(view)
    for _ in range(5):
        before = view.shown
        found = scout.draw("m", (Mark(7, 2000),))
        decision = decide(found.candidates, Demand(), Random(2), known=found.known)
        scout.keep("m", decision)
        assert len(found.candidates) <= DRAWN + MAX_RECALLED
        assert view.shown - before <= DRAWN + MAX_RECALLED
        assert decision.known == 10_000


def sent_to_the_recalled(seed: int) -> float:
    """Of 60 equal workers, how often one of the four recalled gets the job; a fifteenth is fair."""
    rng = Random(seed)
    scout = scout_of(ListView([provider(n) for n in range(60)]), seed)
    recalled: tuple[NodeId, ...] = ()
    hits = 0
    for _ in range(2_000):
        found = scout.draw("m")
        decision = decide(found.candidates, Demand(), rng, known=found.known)
        hits += decision.order[0].node in recalled
        scout.keep("m", decision)
        recalled = decision.best[:MAX_RECALLED]
    return hits / 2_000


def test_those_recalled_get_no_more_than_their_share() -> None:
    assert sent_to_the_recalled(5) <= 0.1


def test_favouring_those_recalled_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = policy._choose

    def forget_the_draw(near: list[policy.Candidate], rng: Random) -> policy.Candidate:
        return choose([replace(candidate, drawn=True) for candidate in near], rng)

    monkeypatch.setattr(policy, "_choose", forget_the_draw)
    assert sent_to_the_recalled(5) > 0.1


def test_the_few_fast_ones_among_many_are_recalled_once_found() -> None:
    listed = [provider(n, speed=200.0 if n < 20 else 10.0) for n in range(2_000)]
    scout, rng = scout_of(ListView(listed)), Random(3)
    fast = 0
    for _ in range(1_000):
        found = scout.draw("m")
        decision = decide(found.candidates, Demand(), rng, known=found.known)
        scout.keep("m", decision)
        fast += int(decision.order[0].node, 16) < 20
    assert fast > 900


def test_who_has_seen_the_prompt_is_added_to_the_draw() -> None:
    scout = scout_of(ListView([provider(n) for n in range(1_000)]))
    marks = (Mark(7, 20_000),)
    scout.prefixes.remember(marks, node(123), 0.0)
    found = scout.draw("m", marks)
    decision = decide(found.candidates, Demand(), Random(1), known=found.known)
    assert decision.order[0].node == node(123)
    assert decision.order[0].saved > 0


def test_what_one_in_thousands_can_do_is_found_by_looking_at_all() -> None:
    listed = [provider(n, ref=TOOLS if n == 4_321 else PLAIN) for n in range(5_000)]
    demand = Demand(needs=("tools",))
    found = scout_of(ListView(listed)).search("m", demand)
    assert [candidate.node for candidate in found.candidates] == [node(4_321)]
    assert found.excluded == {"no_tools": 4_999}
    assert found.known == 5_000


def test_a_search_gives_a_bounded_number() -> None:
    found = scout_of(ListView([provider(n) for n in range(500)])).search("m", Demand())
    assert len(found.candidates) == MAX_FOUND


@pytest.mark.parametrize("seed", range(20))
def test_constraints_hold_whatever_was_drawn_recalled_or_seen(seed: int) -> None:
    rng = Random(seed)
    states: list[NodeState] = ["ready", "degraded", "draining", "starting"]
    listed = [
        provider(n, ref=rng.choice([TOOLS, PLAIN]), state=rng.choice(states)) for n in range(200)
    ]
    scout, marks = scout_of(ListView(listed), seed), (Mark(7, 20_000),)
    demand = Demand(needs=("tools",))
    for _ in range(20):
        scout.prefixes.remember(marks, node(rng.randrange(200)), 0.0)
        found = scout.draw("m", marks)
        decision = decide(found.candidates, demand, rng, known=found.known)
        scout.keep("m", decision)
        assert all(exclude(candidate, demand) is None for candidate in decision.order)
        assert len(decision.order) + sum(decision.excluded.values()) == len(found.candidates)


def test_a_slow_worker_unseen_for_long_gets_a_second_chance_now_and_then() -> None:
    scout = scout_of(ListView([provider(0, speed=0.0), provider(1)]))
    scout.experience.completed("m", 400, 1.0)
    slow = replace(provider(0), model=ServedModel(PLAIN, 4, 1.0))
    scout._view = ListView([slow])
    seen = Counter(scout.draw("m").candidates[0].run_seconds for _ in range(3_000))
    assert set(seen) == {1.0, 100.0}
    assert 5 <= seen[1.0] <= 80
