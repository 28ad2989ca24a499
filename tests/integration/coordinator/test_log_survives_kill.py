"""A process that writes the log is killed a hundred times; nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path
from random import Random

from coordinator.consensus.entry import Stored
from coordinator.storage.folder import DiskFolder
from coordinator.storage.segments import SegmentedLog
from tests.integration.coordinator.conftest import Writers
from tests.integration.coordinator.log_writer import command

ROUNDS = 100
WRITER = Path(__file__).with_name("log_writer.py")


def check(stored: Stored, acknowledged: list[list[int]]) -> None:
    """Everything acknowledged is in the log, or compacted, and what is there is right."""
    held = {entry.index: entry for entry in stored.entries}
    for index, term in acknowledged:
        assert stored.hard.term >= term
        assert index <= stored.mark.index or held[index].term == term
    assert all(entry.data == command(entry.index, entry.term) for entry in stored.entries)


def test_nothing_acknowledged_is_lost(writers: Writers, tmp_path: Path) -> None:
    rng = Random(1)
    total = 0
    for _ in range(ROUNDS):
        acknowledged = writers.run_and_kill(tmp_path / "log", rng.randint(0, 40))
        log = SegmentedLog(DiskFolder(tmp_path / "log"))
        check(log.load(), acknowledged)
        log.close()
        total += len(acknowledged)
    assert total > ROUNDS
