"""Windows of local time: what is open when, and until when; summer time included."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.schedule import Opening, look_up, parse_window

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def opening(text: str, *windows: str) -> Opening:
    return look_up([parse_window(each) for each in windows], at(text), BERLIN)


def test_without_windows_it_is_always_open() -> None:
    assert opening("2026-11-21 12:00") == Opening(True, None)


@pytest.mark.parametrize(
    ("now", "open_", "until"),
    [
        ("2026-11-21 21:59:59", False, "2026-11-21 22:00"),
        ("2026-11-21 22:00", True, "2026-11-22 07:00"),
        ("2026-11-22 06:59", True, "2026-11-22 07:00"),
        ("2026-11-22 07:00", False, "2026-11-22 22:00"),
    ],
)
def test_a_window_over_midnight(now: str, open_: bool, until: str) -> None:
    assert opening(now, "22:00-07:00") == Opening(open_, at(until))


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    # 2026-11-20 is a Friday.
    assert opening("2026-11-21 03:00", "fri 22:00-07:00").open
    assert opening("2026-11-22 03:00", "fri 22:00-07:00") == Opening(False, at("2026-11-27 22:00"))


def test_days_may_wrap_around_the_week() -> None:
    assert [
        opening(f"2026-11-{day} 12:00", "sat-mon 10:00-14:00").open for day in range(20, 27)
    ] == [False, True, True, True, False, False, False]


def test_windows_that_touch_are_one() -> None:
    windows = ("fri 22:00-07:00", "sat-sun 00:00-24:00", "mon 00:00-06:30")
    assert opening("2026-11-20 23:00", *windows) == Opening(True, at("2026-11-23 06:30"))


def test_windows_that_cover_the_week_never_close() -> None:
    assert opening("2026-11-20 23:00", "00:00-24:00") == Opening(True, None)


def test_summer_time_ends_and_begins_by_the_clock_on_the_wall() -> None:
    # On 2026-10-25 the clock goes from 03:00 back to 02:00, on 2026-03-29 from 02:00 to 03:00.
    autumn = opening("2026-10-24 22:00", "22:00-07:00").until
    spring = opening("2026-03-28 22:00", "22:00-07:00").until
    assert autumn is not None
    assert spring is not None
    assert autumn - at("2026-10-24 22:00") == 10 * 3600
    assert spring - at("2026-03-28 22:00") == 8 * 3600


def test_what_is_said_of_the_next_change_is_true_minute_by_minute() -> None:
    rng = random.Random(7)
    for _ in range(60):
        windows = [
            parse_window(
                f"{rng.choice(('mon-fri', 'sat', 'sun-wed'))} "
                f"{rng.randrange(24)}:{rng.choice(('00', '30'))}-{rng.randrange(24)}:15"
            )
            for _ in range(rng.randint(1, 3))
        ]
        now = at("2026-11-18 00:00") + rng.randrange(7 * 1440) * 60
        found = look_up(windows, now, BERLIN)
        later = now
        while look_up(windows, later, BERLIN).open == found.open and later < now + 8 * 86400:
            later += 900 - later % 900
        assert found.until is None or found.until == later


@pytest.mark.parametrize(
    "text",
    ["", "22-7", "25:00-07:00", "22:00-22:00", "24:00-07:00", "22:60-07:00", "xyz 1:00-2:00"],
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HH:MM"):
        parse_window(text)


def test_days_in_capitals_and_extra_spaces_are_read() -> None:
    window = parse_window("  Mon-Fri   8:00 - 9:30 ")
    assert window.days == frozenset(range(5))
    assert (window.begin, window.end) == (480, 570)
    assert timedelta(minutes=window.end - window.begin) == timedelta(hours=1.5)
