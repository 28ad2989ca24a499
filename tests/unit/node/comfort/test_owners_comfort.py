"""The owner's word over a running node: it holds at once, over a restart, and says why."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mesh.capability import Load
from mesh.errors import StorageError
from mesh.lifecycle import Tasks
from node.comfort import AFTER_JOB_SECONDS, LOOK_SECONDS, Comfort
from node.gpu_use import GpuLook, GpuMeter
from node.memory_cap import GpuMemoryCap, MemoryCap
from node.own_state import own_state
from node.owner_file import OwnerFile
from services.availability import (
    BY_OWNER,
    GPU_TAKEN,
    ON_BATTERY,
    OUT_OF_HOURS,
    QUIET_SECONDS,
    Rules,
)
from services.limits import Limits
from services.schedule import parse_window
from tests.simulation.virtual_time import run_virtual


class Worker:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.paused = ""
        self.in_flight = 0
        self.slots: list[int | None] = []

    def limit_slots(self, most: int | None) -> None:
        self.slots.append(most)

    def load(self) -> Load:
        return Load()


class LoopClock:
    """The loop's own time, which tests make virtual; the wall clock starts at a set moment."""

    def __init__(self, wall: float = 1_790_000_000.0) -> None:
        self._wall = wall

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return self._wall + self.now()


class ScriptedMeter(GpuMeter):
    """Says what the test wants, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__(frozenset)
        self.answer = GpuLook()
        self.asked: list[bool] = []

    async def look_aside(self, now_wall: float, own_jobs: bool) -> GpuLook:
        self.asked.append(own_jobs)
        return self.answer


class Machine:
    """Everything around one `Comfort`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "owner.json"
        self.clock = LoopClock()
        self.host = Worker()
        self.memory = MemoryCap(None)
        self.gpu_memory = GpuMemoryCap(None)
        self.meter = ScriptedMeter()
        self.battery = False
        self.tasks = Tasks("test")

    def boot(self, rules: Rules | None = None, configured: Limits | None = None) -> Comfort:
        self.host = Worker()
        return Comfort(
            file=OwnerFile(self.path),
            rules=rules or Rules(),
            configured=configured or Limits(),
            host=self.host,
            memory=self.memory,
            gpu_memory=self.gpu_memory,
            meter=self.meter,
            clock=self.clock,
            tasks=self.tasks,
            on_battery=lambda: self.battery,
        )


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    yield made
    await made.tasks.close()


async def test_a_pause_holds_at_once_and_over_a_restart_until_resumed(machine: Machine) -> None:
    comfort, told = machine.boot(), []
    comfort.on_change(lambda: told.append(machine.host.paused))
    assert comfort.pause().reason == BY_OWNER
    assert told == [BY_OWNER]
    again = machine.boot()
    assert machine.host.paused == BY_OWNER
    assert again.resume().open
    assert machine.host.paused == ""
    machine.boot()
    assert machine.host.paused == ""


async def test_limits_replace_the_configured_ones_and_survive(machine: Machine) -> None:
    configured = Limits(slots=4, memory=2**30)
    machine.boot(configured=configured).set_limits({"slots": 1, "gpu_memory": 2**33})
    assert machine.host.slots == [4, 1]
    comfort = machine.boot(configured=configured)
    assert comfort.limits == Limits(1, 2**30, 2**33)
    assert machine.host.slots == [1]
    assert (machine.memory.most, machine.gpu_memory.most) == (2**30, 2**33)
    assert comfort.set_limits({"slots": None, "gpu_memory": None}) == configured
    assert machine.host.slots == [1, 4]


async def test_who_listens_hears_of_new_limits(machine: Machine) -> None:
    comfort, told = machine.boot(), []
    comfort.on_change(lambda: told.append(comfort.limits.memory))
    comfort.set_limits({"memory": 2**30})
    assert told == [2**30]


async def test_a_pause_and_limits_do_not_undo_each_other(machine: Machine) -> None:
    machine.boot().set_limits({"slots": 2})
    machine.boot().pause()
    comfort = machine.boot()
    comfort.set_limits({"memory": 2**30})
    assert machine.host.paused == BY_OWNER
    comfort.resume()
    assert machine.boot().limits == Limits(slots=2, memory=2**30)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 1, "paused": 1, "until": null, "limits": {}}',
        b'{"version": 1, "paused": false, "until": 1e300, "limits": {}}',
        b'{"version": 1, "paused": false, "until": null, "limits": {"slots": 0}}',
        b'{"version": 1, "paused": false, "until": null, "limits": {"slots": true}}',
        b'{"version": 1, "paused": false, "until": null, "limits": {"heat": 3}}',
        b"[" * 60_000,
    ],
)
async def test_a_damaged_file_means_paused_and_says_so(machine: Machine, content: bytes) -> None:
    machine.path.write_bytes(content)
    machine.path.chmod(0o600)
    comfort = machine.boot()
    assert machine.host.paused == BY_OWNER
    assert "damaged" in comfort.trouble
    assert "electrons resume" in comfort.trouble
    assert comfort.resume().open
    assert comfort.trouble == machine.boot().trouble == ""


async def test_what_cannot_be_written_down_is_not_done(machine: Machine) -> None:
    comfort = machine.boot()
    machine.path.mkdir()
    with pytest.raises(StorageError):
        comfort.pause()
    with pytest.raises(StorageError):
        comfort.set_limits({"slots": 1})
    assert comfort.availability.open
    assert comfort.limits == Limits()


async def test_only_its_owner_can_read_the_file(machine: Machine) -> None:
    machine.boot().pause()
    assert stat.S_IMODE(machine.path.stat().st_mode) == 0o600


def test_a_pause_for_a_time_ends_by_itself(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        comfort = machine.boot()
        comfort.start()
        until = comfort.pause(60.0).until
        assert until == machine.clock.wall() + 60
        await asyncio.sleep(59)
        assert machine.host.paused == BY_OWNER
        await asyncio.sleep(1 + LOOK_SECONDS)
        assert machine.host.paused == ""

    in_virtual_time(story, tmp_path)


def test_the_node_rests_on_battery_and_works_again_on_mains(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        comfort = machine.boot(Rules(rest_on_battery=True))
        comfort.start()
        machine.battery = True
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert machine.host.paused == ON_BATTERY
        machine.battery = False
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert machine.host.paused == ""

    in_virtual_time(story, tmp_path)


def test_the_card_is_left_to_its_owner_and_taken_back_after_a_quiet_while(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        comfort = machine.boot(Rules(yield_gpu=True))
        comfort.start()
        machine.meter.answer = GpuLook(taken=True)
        await asyncio.sleep(4 * LOOK_SECONDS)
        assert machine.host.paused == GPU_TAKEN
        machine.meter.answer = GpuLook()
        await asyncio.sleep(QUIET_SECONDS - 3 * LOOK_SECONDS)
        assert machine.host.paused == GPU_TAKEN
        await asyncio.sleep(5 * LOOK_SECONDS)
        assert machine.host.paused == ""

    in_virtual_time(story, tmp_path)


def test_a_job_explains_a_busy_card_for_a_moment_after_its_end(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        comfort = machine.boot(Rules(yield_gpu=True))
        comfort.start()
        machine.host.in_flight = 1
        await asyncio.sleep(2 * LOOK_SECONDS)
        machine.host.in_flight = 0
        machine.meter.asked.clear()
        await asyncio.sleep(AFTER_JOB_SECONDS + 3 * LOOK_SECONDS)
        assert machine.meter.asked[0]
        assert not machine.meter.asked[-1]

    in_virtual_time(story, tmp_path)


def test_graphics_memory_is_looked_at_only_where_it_is_limited(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        comfort = machine.boot()
        comfort.start()
        await asyncio.sleep(3 * LOOK_SECONDS)
        assert not machine.meter.asked
        machine.meter.answer = GpuLook(memory_used=2**33)
        comfort.set_limits({"gpu_memory": 2**32})
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert machine.gpu_memory.exceeded()
        comfort.set_limits({"gpu_memory": 2**34})
        assert not machine.gpu_memory.exceeded()

    in_virtual_time(story, tmp_path)


def test_hours_open_and_close_while_it_runs(tmp_path: Path) -> None:
    async def story(machine: Machine) -> None:
        noon = datetime(2026, 11, 21, 12).timestamp()
        machine.clock = LoopClock(noon - 30)
        comfort = machine.boot(Rules(schedule=(parse_window("12:00-12:01"),)))
        comfort.start()
        assert machine.host.paused == OUT_OF_HOURS
        assert comfort.availability.until == noon
        await asyncio.sleep(31 + LOOK_SECONDS)
        assert machine.host.paused == ""
        await asyncio.sleep(60)
        assert machine.host.paused == OUT_OF_HOURS

    in_virtual_time(story, tmp_path)


def test_the_mesh_hears_of_a_pause_with_its_reason() -> None:
    assert own_state(draining=False, paused=BY_OWNER, troubles=("slow",)) == ("draining", BY_OWNER)
    assert own_state(draining=True, paused=BY_OWNER)[1] != BY_OWNER
    assert own_state(draining=False) == ("ready", "")


def in_virtual_time(story: Callable[[Machine], Any], folder: Path) -> None:
    async def run() -> None:
        machine = Machine(folder)
        try:
            await story(machine)
        finally:
            await machine.tasks.close()

    run_virtual(run())
