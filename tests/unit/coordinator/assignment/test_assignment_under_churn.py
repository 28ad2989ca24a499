"""Seven services on eight unlike nodes, ten virtual minutes of crashes: see `churning_mesh`.

To replay a seed: ChurningMesh(seed).run(600) and read its violations.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coordinator.assignment import assign as deciding
from coordinator.assignment import board, restoring
from coordinator.assignment.placement import Placement, PlacementState
from coordinator.assignment.supply import Supply
from mesh.room import Need, Room
from tests.unit.coordinator.assignment.churning_mesh import ALLOWED_DARK, ChurningMesh

MINUTES = 600.0
SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_feasible_service_keeps_a_provider(seed: int) -> None:
    mesh = ChurningMesh(seed)
    mesh.run(MINUTES)
    print(f"seed {seed}: {mesh.crashes} crashes, {mesh.starts} starts, {mesh.dark_longest} s dark")
    assert mesh.violations == []
    assert mesh.crashes > 20


@pytest.mark.parametrize("seed", range(5))
def test_a_change_moves_little(seed: int) -> None:
    """Starts follow from what crashes took away, not from restlessness."""
    mesh = ChurningMesh(seed)
    mesh.run(MINUTES)
    assert mesh.starts <= 4 * mesh.crashes
    quiet = ChurningMesh(seed, churn=1e9)
    quiet.run(60.0)
    settled = quiet.starts
    quiet.run(MINUTES)
    print(f"seed {seed}: {settled} starts in the first minute, {quiet.starts} in ten")
    assert quiet.starts - settled <= 4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_seeds() -> None:
    found = {}
    for seed in range(100, 300):
        mesh = ChurningMesh(seed)
        mesh.run(MINUTES)
        if mesh.violations:
            found[seed] = mesh.violations[0]
    assert found == {}


# ── bugs put in on purpose: the checks above must see them ──────────────────────────────────────


def first_violation() -> str:
    for seed in range(10):
        mesh = ChurningMesh(seed)
        mesh.run(MINUTES)
        if mesh.violations:
            return mesh.violations[0]
    return ""


def believing_itself(right: Callable[..., PlacementState | None]) -> Callable[..., object]:
    """What once served counts as serving for ever, whatever its node's record shows."""

    def wrong(
        placement: Placement, supply: Supply, *, asked_for: bool, now: float
    ) -> PlacementState | None:
        state = right(placement, supply, asked_for=asked_for, now=now)
        return "serving" if placement.state == "serving" and state == "starting" else state

    return wrong


def test_counting_what_no_record_shows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restarted node would count as cover for what it no longer runs."""
    monkeypatch.setattr(restoring, "next_state", believing_itself(restoring.next_state))
    assert any("dark" in words for words in with_a_restart_that_hangs().violations)


def test_a_restarted_node_that_hangs_is_hedged() -> None:
    assert with_a_restart_that_hangs().violations == []


def with_a_restart_that_hangs() -> ChurningMesh:
    mesh = ChurningMesh(1, churn=1e9)
    mesh.run(30.0)
    mesh.restart_server_of("tags-1b")
    mesh.fail_starts_of("tags-1b")
    mesh.run(120.0)
    return mesh


def test_not_hedging_a_start_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "LATE_SECONDS", MINUTES)
    assert any("dark" in words for words in with_a_hanging_start().violations)


def test_hedging_saves_a_service_whose_start_hangs() -> None:
    mesh = with_a_hanging_start()
    assert mesh.violations == []
    assert mesh.dark_longest <= ALLOWED_DARK


def with_a_hanging_start() -> ChurningMesh:
    mesh = ChurningMesh(1, churn=1e9)
    mesh.fail_starts_of("tags-1b")
    mesh.run(120.0)
    return mesh


def test_stopping_before_the_successor_serves_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "_replaced", lambda *_: True)
    assert "the last copy" in first_violation()


def test_not_comparing_memory_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(self: Room, need: Need, model: str = "") -> bool:
        return True

    monkeypatch.setattr(Room, "has", always)
    assert "more than fits" in first_violation()


def test_never_looking_again_is_noticed() -> None:
    """As the original did: services were placed when a node came, and not when one died."""

    def once(targets: object, live: object, previous: object, now: float) -> object:
        return (
            mesh.assignment if mesh.assignment.placements else decide(targets, live, previous, now)
        )

    decide: Callable[..., object] = deciding.assign
    mesh = ChurningMesh(3, once)  # type: ignore[arg-type]
    mesh.run(MINUTES)
    assert any("dark" in words for words in mesh.violations)
