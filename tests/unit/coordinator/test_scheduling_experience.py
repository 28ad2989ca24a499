"""What a gateway concludes from its own jobs about a worker's pace and business."""

from __future__ import annotations

import pytest

from coordinator.scheduling.experience import (
    FADING,
    FORGOTTEN,
    MAX_PACES,
    USUAL_ANSWER,
    WARM_SECONDS,
    Experience,
)
from mesh.capability import Load, ModelRef, ServedModel
from mesh.ids import NodeId

NODE = NodeId("1" * 40)
FAST = ServedModel(ModelRef("fast", "test"), 4)
SLOW = ServedModel(ModelRef("slow", "test"), 4)
IDLE = Load(slots=4)


def seconds(
    experience: Experience,
    model: ServedModel = FAST,
    now: float = 0.0,
    load: Load = IDLE,
    sole: bool = False,
) -> float:
    return experience.run_seconds(NODE, model, load, sole, now)


def used(*models: str) -> Experience:
    """Knows the usual answers of some models."""
    experience = Experience()
    for model in models:
        experience.completed(model, round(USUAL_ANSWER), 1.0)
    return experience


def test_pace_is_kept_per_model_not_per_node() -> None:
    experience = used("fast", "slow")
    experience.progressed(NODE, "fast", 400, 1.0, 0.0)
    experience.progressed(NODE, "slow", 40, 1.0, 0.0)
    assert seconds(experience) == pytest.approx(USUAL_ANSWER / 400)
    assert seconds(experience, SLOW) == pytest.approx(USUAL_ANSWER / 40)


def test_what_was_seen_counts_more_than_what_is_told_and_fades_towards_it() -> None:
    experience = Experience()
    told = ServedModel(FAST.ref, 4, speed=USUAL_ANSWER / 4 / 10)  # ten seconds an answer
    assert seconds(experience, told) == pytest.approx(10.0)
    experience.progressed(NODE, "fast", USUAL_ANSWER, 1.0, 0.0)
    assert seconds(experience, told) == pytest.approx(1.0)
    assert seconds(experience, told, now=FADING) == pytest.approx(5.5)
    assert seconds(experience, told, now=FORGOTTEN + 1) == pytest.approx(10.0)


def test_a_nodes_average_job_tells_only_where_it_serves_nothing_else() -> None:
    experience = Experience()
    experience.completed("fast", 400, 2.0)
    mixed = Load(slots=4, job_seconds=30.0)
    assert seconds(experience, load=mixed, sole=True) == 30.0
    assert seconds(experience, load=mixed) == 2.0


def test_a_slowdown_shows_within_a_second_of_watching() -> None:
    experience = used("fast", "slow")
    experience.progressed(NODE, "fast", 400, 1.0, 0.0)
    for step in range(1, 6):
        experience.progressed(NODE, "fast", 8, 0.2, step * 0.2)
    assert seconds(experience, now=1.0) > 5 * USUAL_ANSWER / 400


def test_a_job_that_gives_nothing_makes_slower_never_faster() -> None:
    experience = used("fast", "slow")
    experience.progressed(NODE, "fast", 400, 1.0, 0.0)
    experience.stalled(NODE, "fast", 400, 0.5, 0.0)
    assert seconds(experience) == pytest.approx(USUAL_ANSWER / 400)
    experience.stalled(NODE, "fast", 400, 10.0, 0.0)
    assert seconds(experience) == pytest.approx(10 * USUAL_ANSWER / 400)


def test_an_old_opinion_gives_way_to_the_first_new_job() -> None:
    experience = used("fast", "slow")
    experience.progressed(NODE, "fast", 40, 1.0, 0.0)
    later = 6 * FADING
    experience.progressed(NODE, "fast", 400, 1.0, later)
    assert seconds(experience, now=later) == pytest.approx(USUAL_ANSWER / 400, rel=0.2)


def test_jobs_sent_since_the_last_report_count() -> None:
    experience = Experience()
    report = Load(in_flight=2, queued=1, slots=4)
    assert experience.busy(NODE, report) == 3
    experience.sent(NODE)
    experience.sent(NODE)
    assert experience.busy(NODE, report) == 5
    experience.left(NODE)
    assert experience.busy(NODE, report) == 4
    assert experience.busy(NODE, Load(in_flight=4, slots=4)) == 4
    experience.accepted(NODE, in_flight=4, queued=3)
    assert experience.busy(NODE, report) == 3  # a new report is newer than what Accept told


def test_accept_tells_the_load_until_the_next_report() -> None:
    experience = Experience()
    report = Load(slots=4)
    experience.sent(NODE)
    assert experience.busy(NODE, report) == 1
    experience.accepted(NODE, in_flight=4, queued=3)
    assert experience.busy(NODE, report) == 7


def test_a_model_used_lately_counts_as_loaded() -> None:
    experience = Experience()
    assert not experience.is_warm(NODE, "fast", 0.0)
    experience.progressed(NODE, "fast", 400, 1.0, 0.0)
    assert experience.is_warm(NODE, "fast", WARM_SECONDS - 1)
    assert not experience.is_warm(NODE, "fast", WARM_SECONDS + 1)
    assert not experience.is_warm(NODE, "slow", 1.0)


def test_what_is_remembered_is_bounded_and_the_oldest_goes() -> None:
    experience = used("fast", "slow")
    for number in range(MAX_PACES + 1):
        experience.progressed(NodeId(f"{number:040x}"), "fast", 400, 1.0, 0.0)
    oldest, newest = NodeId(f"{0:040x}"), NodeId(f"{MAX_PACES:040x}")
    assert experience.is_unseen(oldest, "fast", 0.0)
    assert not experience.is_unseen(newest, "fast", 0.0)


def test_pace_says_nothing_until_there_is_something_to_compare_it_with() -> None:
    experience = Experience()
    experience.progressed(NODE, "fast", 10, 1.0, 0.0)
    assert seconds(experience) == 0.0
    assert seconds(experience, load=Load(slots=4, job_seconds=0.5)) == 0.5
    experience.completed("fast", 20, 2.0)
    assert seconds(experience) == pytest.approx(2.0)


def test_nonsense_measures_nothing() -> None:
    experience = Experience()
    experience.progressed(NODE, "fast", 0, 1.0, 0.0)
    experience.progressed(NODE, "fast", 10, 0.0, 0.0)
    experience.stalled(NODE, "fast", 0, 1.0, 0.0)
    assert seconds(experience) == 0.0
