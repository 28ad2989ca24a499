"""What a meter tells of one run: pace while it streams, slowness while it does not."""

from __future__ import annotations

import pytest

from coordinator.scheduling.experience import USUAL_ANSWER, Experience
from mesh.capability import Load, ModelRef, ServedModel
from mesh.ids import NodeId
from mesh.jobs import Chunk
from node.dispatch.meter import CHARACTERS_A_DELTA, Meter

NODE = NodeId("1" * 40)
MODEL = ServedModel(ModelRef("m", "test"), 1, speed=1.0)


def answer_seconds(experience: Experience, now: float) -> float:
    """What the gateway would expect of an answer there; 0.0 when it knows nothing."""
    return experience.run_seconds(NODE, MODEL, Load(), False, now)


def stream(meter: Meter, start: float, seconds: float, pace: float) -> float:
    """Ten characters at a time; measured every tenth of a second. The time it ends."""
    now = start
    while now < start + seconds:
        now += 10 * pace
        meter.add(Chunk("x" * 10))
        meter.measure(now)
    return now


def test_a_stream_tells_its_pace_while_it_runs() -> None:
    experience = Experience()
    meter = Meter(experience)
    meter.begin(NODE, "m", 0.0)
    now = stream(meter, 0.0, 2.0, pace=0.005)
    assert answer_seconds(experience, now) == pytest.approx(USUAL_ANSWER * 0.005, rel=0.1)


def test_reading_the_prompt_is_not_taken_for_writing() -> None:
    experience = Experience()
    meter = Meter(experience)
    meter.begin(NODE, "m", 0.0)
    now = stream(meter, 1.5, 2.0, pace=0.005)
    assert answer_seconds(experience, now) == pytest.approx(USUAL_ANSWER * 0.005, rel=0.1)


def test_a_stream_that_stops_is_slow_before_it_is_over() -> None:
    experience = Experience()
    meter = Meter(experience)
    meter.begin(NODE, "m", 0.0)
    now = stream(meter, 0.0, 2.0, pace=0.005)
    before = answer_seconds(experience, now)
    meter.measure(now + 0.15)
    assert answer_seconds(experience, now) < 2 * before
    meter.measure(now + 1.5)
    assert answer_seconds(experience, now + 1.5) > 5 * before


def test_an_answer_in_one_piece_counts_when_it_is_there() -> None:
    experience = Experience()
    meter = Meter(experience)
    meter.begin(NODE, "m", 0.0)
    meter.still_queued(3.0)
    meter.measure(4.0)
    meter.add(Chunk("x" * 400))
    meter.end(5.0, whole=True)
    assert experience.usual_seconds("m") == pytest.approx(2.0)
    assert answer_seconds(experience, 5.0) == pytest.approx(2.0, rel=0.1)


def test_what_resumed_workers_gave_is_not_taken_for_a_whole_answer() -> None:
    experience = Experience()
    meter = Meter(experience)
    meter.add(Chunk("x" * 100))
    meter.begin(NODE, "m", 0.0)
    meter.add(Chunk("x" * 10))
    meter.end(0.1, whole=False)
    assert meter.characters == 110
    assert experience.usual_seconds("m") == 0.0
    assert answer_seconds(experience, 0.1) == pytest.approx(0.01 * USUAL_ANSWER)


def test_deltas_without_text_count_as_a_token() -> None:
    meter = Meter(Experience())
    meter.add(Chunk(delta={"tool_calls": []}))
    assert meter.characters == CHARACTERS_A_DELTA


def test_a_meter_that_was_stopped_tells_nothing() -> None:
    experience = Experience()
    meter = Meter(experience)
    meter.begin(NODE, "m", 0.0)
    meter.stop()
    meter.measure(60.0)
    meter.end(60.0, whole=True)
    assert answer_seconds(experience, 60.0) == USUAL_ANSWER / 4  # as advertised
