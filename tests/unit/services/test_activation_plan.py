"""What a node does with an assignment, decided without doing it."""

from __future__ import annotations

from dataclasses import replace

from mesh.capability import Gpu, Resources, Runnable
from mesh.room import NO_CARD
from mesh.wire.assignment import RunReport
from services.activation_plan import OUTGROWN, Active, Situation, Start, plan, within
from services.limits import Limits

GIB = 2**30
SMALL = Runnable("small", "llama.cpp", 2 * GIB)
LARGE = Runnable("large", "llama.cpp", 6 * GIB)
HEAVY = Runnable("heavy", "llama.cpp", GIB, 14 * GIB)
LIGHT = Runnable("light", "llama.cpp", GIB, 6 * GIB)
IDLE = Situation(
    held={one.model: one for one in (SMALL, LARGE, HEAVY, LIGHT)},
    active={},
    own=(),
    failed={},
    resources=Resources(4.0, 8 * GIB, (Gpu("card", 16 * GIB), Gpu("card", 8 * GIB))),
    available=8 * GIB,
)


def test_what_is_wanted_and_fits_is_started_on_the_fitting_card() -> None:
    steps = plan([("heavy", ""), ("light", "llama.cpp"), ("small", "")], IDLE)
    assert steps.starts == (Start("heavy", 0), Start("light", 1), Start("small", NO_CARD))
    assert {each.state for each in steps.reports} == {"starting"}


def test_names_are_only_looked_up_among_what_is_held() -> None:
    steps = plan([("/etc/passwd", ""), ("../small", ""), ("small", "vllm")], IDLE)
    assert steps.starts == ()
    assert {each.reason for each in steps.reports} == {"this node does not hold it"}


def test_what_the_owner_serves_is_neither_started_nor_stopped() -> None:
    mine = replace(IDLE, own=("small",))
    assert plan([("small", "")], mine).reports == (
        RunReport("small", "serving", "by the owner's own engine"),
    )
    assert plan([], mine) == plan([], IDLE)
    assert plan([], mine).drains == ()


def test_what_does_not_fit_is_refused_with_the_figures() -> None:
    poor = replace(IDLE, resources=Resources(4.0, 4 * GIB, (Gpu("card", 8 * GIB),)))
    reports = plan([("heavy", ""), ("large", "")], poor).reports
    assert [each.reason for each in reports] == [
        "needs 14 GiB of GPU memory; this node has at most 8 GiB on one card",
        "needs 6 GiB of memory; this node has 4 GiB",
    ]
    bare = replace(IDLE, resources=Resources(4.0, 4 * GIB))
    (report,) = plan([("light", "")], bare).reports
    assert report.reason == "needs 6 GiB of GPU memory; this node has no GPU"


def test_of_two_that_do_not_fit_together_the_second_is_refused() -> None:
    both = plan([("large", ""), ("small", ""), ("light", "")], IDLE)
    assert [start.model for start in both.starts] == ["large", "light"]
    assert both.reports[-1] == RunReport(
        "small", "refused", "needs 2 GiB of memory; this node has left 1 GiB"
    )


def test_memory_that_others_use_counts() -> None:
    (report,) = plan([("large", "")], replace(IDLE, available=3 * GIB)).reports
    assert report.reason == "needs 6 GiB of memory; 3 GiB are free on the machine now"


def test_what_is_not_wanted_any_more_drains_and_its_room_is_waited_for() -> None:
    busy = replace(IDLE, active={"large": Active(LARGE, "serving")}, available=GIB)
    steps = plan([("heavy", ""), ("small", "")], busy)
    assert steps.drains == ("large",)
    assert steps.starts == (Start("heavy", 0),)
    waits = "there is no room for it until something has ended"
    assert steps.reports == (
        RunReport("heavy", "starting"),
        RunReport("small", "waiting", waits),
        RunReport("large", "draining"),
    )
    draining = replace(busy, active={"large": Active(LARGE, "draining")})
    assert plan([("small", "")], draining).drains == ()


def test_what_is_wanted_again_while_it_drains_waits_for_its_end() -> None:
    draining = replace(IDLE, active={"small": Active(SMALL, "draining")})
    (report,) = plan([("small", "")], draining).reports
    assert (report.state, report.reason) == ("waiting", "its last copy here is still draining")


def test_a_card_that_is_taken_is_not_taken_again() -> None:
    busy = replace(IDLE, active={"light": Active(LIGHT, "serving", 0)})
    (report, _) = plan([("heavy", ""), ("light", "")], busy).reports
    assert (
        report.reason == "needs 14 GiB of GPU memory; this node has left at most 10 GiB on one card"
    )


def test_what_failed_is_not_tried_again_by_itself() -> None:
    failed = replace(IDLE, failed={"small": "its server ended"})
    steps = plan([("small", "")], failed)
    assert steps.starts == ()
    assert steps.reports == (RunReport("small", "failed", "its server ended"),)


def test_what_the_owners_limits_no_longer_hold_drains() -> None:
    active = {"small": Active(SMALL, "serving"), "large": Active(LARGE, "serving")}
    tight = replace(IDLE, active=active, resources=within(IDLE.resources, Limits(None, 6 * GIB)))
    steps = plan([("small", ""), ("large", "")], tight)
    assert steps.drains == ("small",)
    assert steps.reports == (
        RunReport("large", "serving"),
        RunReport("small", "refused", OUTGROWN),
    )


def test_limits_hold_for_all_cards_together() -> None:
    assert within(IDLE.resources, Limits()) == IDLE.resources
    limited = within(IDLE.resources, Limits(None, 4 * GIB, 20 * GIB))
    assert limited.memory == 4 * GIB
    assert [card.memory for card in limited.gpus] == [16 * GIB, 4 * GIB]
