"""Whether a machine works for others: whose word counts, why, and until when."""

from __future__ import annotations

from datetime import UTC, datetime

from services.availability import (
    BY_OWNER,
    GPU_TAKEN,
    NOTICE_SECONDS,
    ON_BATTERY,
    OUT_OF_HOURS,
    QUIET_SECONDS,
    Availability,
    Facts,
    GpuSpell,
    Pause,
    Rules,
    decide,
    note_gpu,
)
from services.schedule import parse_window

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
NIGHT = Rules(schedule=(parse_window("22:00-07:00"),))
BUSY = Facts(on_battery=True, gpu_taken=True)


def test_open_unless_something_speaks_against_it() -> None:
    assert decide(None, Rules(), BUSY, NOON, UTC) == Availability(True)


def test_the_owners_word_comes_first_and_may_end_by_itself() -> None:
    until = NOON + 60
    assert decide(Pause(), NIGHT, BUSY, NOON, UTC) == Availability(False, BY_OWNER)
    assert decide(Pause(until), Rules(), Facts(), NOON, UTC) == Availability(False, BY_OWNER, until)
    assert decide(Pause(until), Rules(), Facts(), until, UTC) == Availability(True)


def test_hours_close_and_say_when_they_open() -> None:
    assert decide(None, NIGHT, Facts(), NOON, UTC) == Availability(
        False, OUT_OF_HOURS, NOON + 10 * 3600
    )
    assert decide(None, NIGHT, Facts(), NOON + 11 * 3600, UTC) == Availability(
        True, "", NOON + 19 * 3600
    )


def test_battery_and_card_count_only_where_the_owner_wants_it() -> None:
    assert decide(None, Rules(rest_on_battery=True), BUSY, NOON, UTC).reason == ON_BATTERY
    assert decide(None, Rules(yield_gpu=True), BUSY, NOON, UTC).reason == GPU_TAKEN
    both = Rules(rest_on_battery=True, yield_gpu=True)
    assert decide(None, both, Facts(), NOON, UTC).open


def test_a_short_use_of_the_card_is_overlooked() -> None:
    spell = note_gpu(GpuSpell(), True, 10.0)
    assert not spell.taken
    assert not note_gpu(spell, False, 11.0).taken
    assert note_gpu(spell, True, 10.0 + NOTICE_SECONDS).taken


def test_a_card_counts_as_taken_until_it_was_free_for_a_while() -> None:
    spell = note_gpu(note_gpu(GpuSpell(), True, 10.0), True, 12.0)
    spell = note_gpu(spell, False, 12.0 + QUIET_SECONDS - 1)
    assert spell.taken
    spell = note_gpu(spell, True, 12.0 + QUIET_SECONDS - 0.5)
    assert spell.taken
    spell = note_gpu(spell, False, spell.last + QUIET_SECONDS)
    assert not spell.taken
