"""The policy's promises, as properties over random candidates."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.scheduling import policy
from coordinator.scheduling.policy import (
    Candidate,
    Demand,
    decide,
    exclude,
    predict,
    predict_seconds,
)
from mesh.capability import Load, ModelRef, ServedModel
from mesh.ids import NodeId
from mesh.jobs import Feature


def make(
    number: int,
    *,
    slots: int = 4,
    in_flight: int = 0,
    queued: int = 0,
    job_seconds: float = 1.0,
    rtt: float | None = 0.001,
    features: tuple[Feature, ...] = (),
    context: int = 0,
) -> Candidate:
    ref = ModelRef("m", "demo", features=features, context=context)
    return Candidate(
        NodeId(f"{number:040x}"),
        ServedModel(ref, slots),
        Load(in_flight, queued, slots, job_seconds),
        rtt,
    )


candidates = st.lists(
    st.builds(
        make,
        st.integers(0, 10_000),
        slots=st.integers(1, 8),
        in_flight=st.integers(0, 8),
        queued=st.integers(0, 8),
        job_seconds=st.floats(0.01, 60),
        rtt=st.none() | st.floats(0, 2),
        features=st.sampled_from([(), ("tools",), ("tools", "vision")]),
        context=st.sampled_from([0, 100, 4096]),
    ),
    max_size=12,
)
demands = st.builds(
    Demand,
    needs=st.sampled_from([(), ("tools",), ("vision",)]),
    privacy=st.sampled_from(["public", "trusted", "own"]),
    tokens=st.integers(0, 8000),
)


@given(candidates, demands, st.integers())
def test_nobody_who_violates_a_constraint_is_offered_the_job(
    found: list[Candidate], demand: Demand, seed: int
) -> None:
    decision = decide(found, demand, Random(seed))
    assert all(exclude(candidate, demand) is None for candidate in decision.order)
    assert len(decision.order) + sum(decision.excluded.values()) == len(found)
    assert Counter(decision.order) <= Counter(found)


@given(candidates, st.integers())
def test_the_first_is_never_predicted_far_slower_than_the_best(
    found: list[Candidate], seed: int
) -> None:
    order = decide(found, Demand(), Random(seed)).order
    if order:
        best = min(predict_seconds(candidate) for candidate in order)
        assert predict_seconds(order[0]) <= max(best * 1.25, best + 0.005)


def test_equal_workers_share_evenly() -> None:
    rng = Random(7)
    equals = [make(number) for number in range(4)]
    first = Counter(decide(equals, Demand(), rng).order[0].node for _ in range(4000))
    assert len(first) == 4
    assert min(first.values()) > 850


def test_of_two_equals_the_one_with_fewer_jobs_from_here_gets_the_next() -> None:
    rng = Random(7)
    counts: Counter[NodeId] = Counter()
    equals = [make(number) for number in range(2)]
    for _ in range(100):
        now = [replace(c, outstanding=counts[c.node]) for c in equals]
        counts[decide(now, Demand(), rng).order[0].node] += 1
    assert abs(counts[equals[0].node] - counts[equals[1].node]) <= 2


def test_a_slow_worker_gets_the_job_only_when_the_fast_one_is_full() -> None:
    fast, slow = make(1, job_seconds=0.5), make(2, job_seconds=5.0)
    assert decide([slow, fast], Demand(), Random(1)).order[0] == fast
    full = make(1, job_seconds=0.5, in_flight=4, queued=60)
    assert decide([slow, full], Demand(), Random(1)).order[0] == slow


def test_own_privacy_keeps_the_job_on_this_node() -> None:
    own = replace(make(1, in_flight=4, queued=9), trust="own")
    decision = decide([make(2), own], Demand(privacy="own"), Random(1))
    assert decision.order == (own,)
    assert decision.excluded == {"privacy": 1}


def test_exclusions_are_counted_by_reason() -> None:
    draining = replace(make(1), state="draining")
    small = make(2, context=10)
    decision = decide([draining, small, make(3)], Demand(("vision",), tokens=100), Random(1))
    assert decision.order == ()
    assert decision.excluded == {"draining": 1, "no_vision": 2}


@given(candidates)
def test_the_parts_of_a_prediction_add_up_to_what_decides(found: list[Candidate]) -> None:
    for candidate in found:
        assert abs(predict(candidate).seconds - predict_seconds(candidate)) < 1e-9


def test_a_loaded_model_goes_before_one_that_must_be_loaded() -> None:
    ref = ModelRef("m", "ollama")
    warm = replace(make(1), model=ServedModel(ref, 4), warm=True)
    cold = replace(make(2), model=ServedModel(ref, 4), warm=False)
    assert {decide([cold, warm], Demand(), Random(seed)).order[0] for seed in range(20)} == {warm}
    assert predict(cold).loading > 0


def test_who_has_seen_the_prompt_is_preferred_until_it_is_much_slower() -> None:
    seen = replace(make(1), saved=0.6)
    firsts = {decide([make(2), seen], Demand(), Random(seed)).order[0] for seed in range(20)}
    assert firsts == {seen}
    slow = replace(make(1, job_seconds=3.0), saved=100.0)
    assert decide([make(2), slow], Demand(), Random(1)).order[0] == make(2)


def changes_of_mind(seed: int) -> int:
    """How often a worker whose prediction wavers around the limit enters or leaves the best."""
    rng = Random(seed)
    best: tuple[NodeId, ...] = ()
    changes = 0
    for _ in range(500):
        wavering = make(2, job_seconds=rng.uniform(1.05, 1.30), rtt=0.0)
        pair = [replace(c, recalled=c.node in best) for c in (make(1, rtt=0.0), wavering)]
        decided = decide(pair, Demand(), rng)
        changes += set(decided.best) != set(best)
        best = decided.best
    return changes


def test_a_wavering_prediction_changes_no_minds() -> None:
    assert changes_of_mind(3) <= 2


def test_a_policy_without_hysteresis_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "STAY_BEST", policy.NEAR_BEST)
    assert changes_of_mind(3) > 50


def test_ignoring_a_constraint_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property above is worth something: without the privacy rule it does not hold."""
    monkeypatch.setattr(policy, "exclude", lambda candidate, demand: None)
    decision = decide([make(2)], Demand(privacy="own"), Random(1))
    assert any(exclude(candidate, Demand(privacy="own")) for candidate in decision.order)


@given(st.integers(1, 8), st.floats(0.1, 60), st.booleans())
def test_a_degraded_node_gets_work_when_its_equals_are_full_and_not_before(
    slots: int, job_seconds: float, warm: bool
) -> None:
    well = make(1, slots=slots, job_seconds=job_seconds)
    degraded = replace(
        make(2, slots=slots, job_seconds=job_seconds), state="degraded", warm=warm, recalled=True
    )
    for seed in range(5):
        assert decide([degraded, well], Demand(), Random(seed)).order[0] is well
    full = replace(well, load=replace(well.load, in_flight=slots, queued=slots))
    if warm:
        assert decide([degraded, full], Demand(), Random(0)).order[0] is degraded
    assert decide([degraded], Demand(), Random(0)).order == (degraded,)
    assert predict(degraded).seconds == pytest.approx(predict_seconds(degraded))
