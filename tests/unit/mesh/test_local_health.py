"""A node that runs late waits longer for others and says that it is degraded."""

from __future__ import annotations

import asyncio

from mesh.health import CRASHES, FAILING_FOR, MOST_PATIENCE, LocalHealth
from mesh.lifecycle import Tasks
from mesh.links.vigil import DEAD_AFTER, TICK, Vigil


def test_patience_rises_with_lag_at_once_and_fades() -> None:
    health = LocalHealth()
    health.woke(0.01, 0.21, 1.0)
    assert health.patience(1.0) == 1.0
    health.woke(0.3, 0.5, 1.5)
    assert 2.0 < health.patience(1.5) < MOST_PATIENCE
    health.woke(2.0, 2.2, 4.0)
    assert health.patience(4.0) == MOST_PATIENCE
    assert health.patience(20.0) == 1.0


def test_after_a_long_sleep_patience_ends_as_soon_as_after_a_short_one() -> None:
    health = LocalHealth()
    health.woke(3600.0, 3600.2, 5000.0)
    assert health.patience(5000.0) == MOST_PATIENCE
    assert health.patience(5003.0) < 2.5
    assert health.patience(5007.0) == 1.0


def test_an_impatient_vigil_would_have_given_up_where_a_patient_one_waits() -> None:
    calm, late = Vigil(), Vigil()
    calm.heard = late.heard = False
    ticks = int(DEAD_AFTER / TICK) + 1
    assert [calm.tick(TICK) for _ in range(ticks)][-1] == "dead"
    assert "dead" not in [late.tick(TICK, 3.0) for _ in range(ticks)]


def test_lasting_lag_degrades_and_a_single_pause_does_not_for_long() -> None:
    health, now = LocalHealth(), 0.0
    for _ in range(20):
        now += 0.7
        health.woke(0.5, 0.7, now)
    assert "overloaded" in health.trouble(now)
    for _ in range(60):
        now += 0.2
        health.woke(0.0, 0.2, now)
    assert health.trouble(now) == ""


async def test_a_service_that_crashes_again_and_again_is_named() -> None:
    health, clock = LocalHealth(), asyncio.get_running_loop()
    thrice = asyncio.Event()

    def crashed(name: str, in_a_row: int) -> None:
        health.crashed(name, in_a_row, clock.time())
        if in_a_row >= CRASHES:
            thrice.set()

    async def run() -> None:
        raise RuntimeError("broken")

    tasks = Tasks("test", on_crash=crashed)
    tasks.supervise(run, "shaky")
    async with asyncio.timeout(5):
        await thrice.wait()
    await tasks.close()
    assert health.trouble(clock.time()) == "shaky crashes again and again"
    assert health.trouble(clock.time() + FAILING_FOR) == ""
