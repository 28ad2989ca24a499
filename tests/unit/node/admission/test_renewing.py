"""Grants are renewed unattended: at two thirds of their life, and again until it works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from mesh.admission import AdmissionRefused
from mesh.errors import StorageError
from mesh.identity.grants import Grant
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from node import renewing as rule
from node.renewing import Held, Renewing, renewal_due, retry_after
from tests.simulation.virtual_time import run_virtual

DAY = 86_400.0
WEEK = 7 * DAY
START = 1.7e9


class LoopWall:
    """The loop's time, with a wall clock that begins somewhere."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return START + self.now()


def grant_until(not_after: float) -> Grant:
    node, mesh = NodeId("a" * 40), MeshId("b" * 40)
    return Grant(mesh, node, ("worker",), not_after, "5e", bytes(32), bytes(64))


class Mesh:
    """Coordinators as a member sees them: they answer by a script, by days."""

    def __init__(
        self, clock: LoopWall, answers: Callable[[float], AdmissionRefused | None]
    ) -> None:
        self._clock = clock
        self._answers = answers
        self.asked: list[float] = []
        self.kept: list[Grant] = []

    async def ask(self) -> Grant:
        day = self._clock.now() / DAY
        self.asked.append(day)
        refusal = self._answers(day)
        if refusal is not None:
            raise refusal
        return grant_until(self._clock.wall() + WEEK)


async def live(mesh: Mesh, clock: LoopWall, days: float) -> Renewing:
    """So many days of one node."""
    held = Held(grant_until(START + WEEK), START)
    renewing = Renewing(held, ask=mesh.ask, keep=mesh.kept.append, clock=clock, rng=Random(1))
    tasks = Tasks("member")
    tasks.supervise(renewing.run, "renewal")
    await asyncio.sleep(days * DAY)
    await tasks.close()
    return renewing


def uncovered(mesh: Mesh, clock_end: float) -> float:
    """Seconds of all the time in which no grant was valid."""
    end, gap = START + WEEK, 0.0
    for grant in mesh.kept:
        since = grant.not_after - WEEK
        gap += max(0.0, since - end)
        end = grant.not_after
    return gap + max(0.0, clock_end - end)


def test_three_months_go_by_without_a_gap() -> None:
    async def story() -> None:
        clock = LoopWall()
        mesh = Mesh(clock, lambda day: None)
        renewing = await live(mesh, clock, 90)
        assert len(mesh.asked) == len(mesh.kept) == int(90 / (7 * 2 / 3))
        assert mesh.asked[0] == pytest.approx(14 / 3, abs=0.01)
        assert uncovered(mesh, START + 90 * DAY) == 0.0
        assert renewing.note() == ""

    run_virtual(story())


def test_an_outage_of_two_days_is_bridged() -> None:
    async def story() -> None:
        clock = LoopWall()
        away = AdmissionRefused("no_quorum")
        mesh = Mesh(clock, lambda day: away if 4.6 < day < 6.6 else None)
        await live(mesh, clock, 30)
        first = next(day for day in mesh.asked if day > 6.6)
        assert first - 6.6 < 1.25 * rule.MOST_RETRY / DAY + 0.01
        assert uncovered(mesh, START + 30 * DAY) == 0.0
        waits = [b - a for a, b in zip(mesh.asked, mesh.asked[1:], strict=False) if b < 6.6]
        assert max(waits) * DAY < 1.3 * rule.MOST_RETRY and len(waits) < 200

    run_virtual(story())


def test_an_outage_longer_than_the_grant_is_told_and_ends_by_itself() -> None:
    async def story() -> None:
        clock = LoopWall()
        away = AdmissionRefused("no_coordinator")
        mesh = Mesh(clock, lambda day: away if day < 10 else None)
        renewing = await live(mesh, clock, 9)
        assert "has ended" in renewing.note() and not mesh.kept
        mesh = Mesh(clock, lambda day: away if day < 19 else None)
        renewing = await live(mesh, clock, 12)
        assert mesh.kept and renewing.note() == ""

    run_virtual(story())


def test_a_revoked_node_does_not_knock_all_the_time() -> None:
    async def story() -> None:
        clock = LoopWall()
        mesh = Mesh(clock, lambda day: AdmissionRefused("revoked"))
        renewing = await live(mesh, clock, 7)
        assert len(mesh.asked) <= 24 * 7 / 3 + 1
        assert "revoked" in renewing.note()

    run_virtual(story())


def test_a_grant_that_counts_no_more_is_replaced_at_once() -> None:
    async def story() -> None:
        clock = LoopWall()
        mesh = Mesh(clock, lambda day: None)
        held = Held(grant_until(START + WEEK), START)
        renewing = Renewing(held, ask=mesh.ask, keep=mesh.kept.append, clock=clock, rng=Random(1))
        tasks = Tasks("member")
        tasks.supervise(renewing.run, "renewal")
        await asyncio.sleep(DAY)
        renewing.wake()  # who signed it was revoked
        await asyncio.sleep(1)
        assert len(mesh.kept) == 1
        await asyncio.sleep(DAY)
        assert len(mesh.asked) == 1
        await tasks.close()

    run_virtual(story())


def test_a_full_disk_is_no_renewal() -> None:
    async def story() -> None:
        clock = LoopWall()
        mesh = Mesh(clock, lambda day: None)
        failures = iter([True, True, False])

        def keep(grant: Grant) -> None:
            if next(failures, False):
                raise StorageError("the disk is full")
            mesh.kept.append(grant)

        held = Held(grant_until(START + WEEK), START)
        renewing = Renewing(held, ask=mesh.ask, keep=keep, clock=clock, rng=Random(1))
        tasks = Tasks("member")
        tasks.supervise(renewing.run, "renewal")
        await asyncio.sleep(5 * DAY)
        await tasks.close()
        assert len(mesh.asked) == 3 and renewing.held.grant is mesh.kept[0]

    run_virtual(story())


def test_the_check_goes_red_when_renewal_waits_for_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deliberate bug: the next grant is asked for when the old one has ended."""
    monkeypatch.setattr(rule, "SHARE", 1.001)

    async def story() -> None:
        clock = LoopWall()
        mesh = Mesh(clock, lambda day: None)
        await live(mesh, clock, 60)
        assert uncovered(mesh, START + 60 * DAY) > 0.0

    run_virtual(story())


def test_the_rule() -> None:
    assert renewal_due(Held(grant_until(START + 90), START)) == START + 60
    assert renewal_due(Held(grant_until(START - 5), START)) == START
    waits = [retry_after(failures, final=False, rng=Random(0)) for failures in range(1, 40)]
    assert waits[0] < 1.25 * rule.FIRST_RETRY and max(waits) <= 1.25 * rule.MOST_RETRY
    assert retry_after(1, final=True, rng=Random(0)) == rule.LOST_RETRY
