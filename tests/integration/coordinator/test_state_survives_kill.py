"""A process that applies commands is killed a hundred times; every restart finds a whole state."""

from __future__ import annotations

from pathlib import Path
from random import Random

from coordinator.state.state import SqliteState
from mesh.wire.commands import Command, decode_command
from tests.integration.coordinator.conftest import Writers
from tests.integration.coordinator.state_writer import KEYS, entry

ROUNDS = 100
WRITER = Path(__file__).with_name("state_writer.py")


def expected(applied: int) -> dict[str, str]:
    """The settings after so many entries."""
    values: dict[str, str] = {}
    for index in range(max(1, applied - KEYS + 1), applied + 1):
        command: Command = decode_command(entry(index).data)
        values[command.change.key] = command.change.value  # type: ignore[union-attr]
    return dict(sorted(values.items()))


async def test_every_restart_finds_a_whole_state(writers: Writers, tmp_path: Path) -> None:
    rng = Random(2)
    for _ in range(ROUNDS):
        acknowledged = writers.run_and_kill(tmp_path / "state", rng.randint(0, 12))
        state = SqliteState(tmp_path / "state")
        assert state.applied >= max((index for (index,) in acknowledged), default=0)
        assert state.rows.settings() == expected(state.applied)
        await state.close()
