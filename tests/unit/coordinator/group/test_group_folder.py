"""What a member finds on its disk, and when it must say that it may have forgotten something."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.consensus.entry import Entry, HardState, Members, SnapshotMark
from coordinator.group.folder import FOUNDED_FILE, FOUNDING, GroupFolder, Opened
from coordinator.group.installing import Installing
from mesh.errors import StorageError
from mesh.identity import private_file
from mesh.ids import NodeId
from mesh.wire.commands import Command, SetSetting, encode_command

OWN = NodeId("ab" * 20)
GROUP = "cd" * 16


@contextlib.asynccontextmanager
async def opened_at(folder: GroupFolder) -> AsyncIterator[Opened]:
    opened = await folder.open()
    try:
        yield opened
    finally:
        await opened.log.close()
        await opened.state.close()


def entry(index: int) -> Entry:
    command = Command(f"{index:032x}", 1e9, SetSetting(f"key-{index}", "x"))
    return Entry(index, 1, "command", encode_command(command))


async def fill(folder: GroupFolder, count: int, applied: int) -> None:
    """A member that has so many entries and has applied some."""
    async with opened_at(folder) as opened:
        entries = [entry(index) for index in range(1, count + 1)]
        await opened.log.save(HardState(1, OWN), entries, lost=0)
        if applied:
            await opened.state.apply(entries[:applied])


async def test_the_founder_begins_with_itself_and_counts(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    assert (folder.group(), folder.may_found()) == (None, True)
    await folder.found(OWN)
    group = folder.group()
    assert group is not None
    assert not folder.may_found()
    async with opened_at(folder) as opened:
        assert opened.lost == 0
        assert [each.kind for each in opened.stored.entries] == ["members"]
    assert folder.group() == group


async def test_founding_happens_once_even_if_the_folder_is_deleted(tmp_path: Path) -> None:
    await GroupFolder(tmp_path).found(OWN)
    shutil.rmtree(tmp_path / "coordinator")
    folder = GroupFolder(tmp_path)
    folder.end_founding()
    assert (folder.group(), folder.may_found()) == (None, False)


class KilledHereError(Exception):
    """The process died."""


@pytest.mark.parametrize("writes", [0, 1, 2])
async def test_founding_survives_a_crash_at_any_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Either the group is there afterwards, or it can still be founded. Never neither."""
    left, write = writes, private_file.write_private

    def die(path: Path, data: bytes, what: str) -> bool:
        nonlocal left
        if left == 0:
            raise KilledHereError
        left -= 1
        return write(path, data, what)

    def die_late(folder: GroupFolder) -> None:
        if (tmp_path / FOUNDED_FILE).exists():
            raise KilledHereError
        end(folder)

    end = GroupFolder.end_founding
    with monkeypatch.context() as dying:
        dying.setattr("coordinator.group.folder.write_private", die)
        dying.setattr(GroupFolder, "end_founding", die_late)
        with pytest.raises(KilledHereError):
            await GroupFolder(tmp_path).found(OWN)
    folder = GroupFolder(tmp_path)
    folder.end_founding()
    if folder.group() is None:
        assert folder.may_found()
        await folder.found(OWN)
    assert not folder.may_found()
    assert not (tmp_path / FOUNDING).exists()
    async with opened_at(folder) as opened:
        assert (opened.lost, len(opened.stored.entries)) == (0, 1)


async def test_a_new_member_counts_only_when_the_group_says_so(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    async with opened_at(folder) as opened:
        assert opened.lost != 0
        assert opened.log.lost == opened.lost
    async with opened_at(GroupFolder(tmp_path)) as again:
        assert again.lost == opened.lost


async def test_an_empty_log_counts_as_lost_even_if_the_folder_is_there(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    await fill(folder, 5, 5)
    shutil.rmtree(folder.path / "log")
    (folder.path / "log").mkdir(mode=0o700)
    async with opened_at(folder) as opened:
        assert opened.lost != 0


async def test_what_was_saved_is_found_and_the_member_counts(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    await fill(folder, 5, 3)
    async with opened_at(folder) as opened:
        assert (opened.lost, opened.state.applied) == (0, 3)
        assert opened.stored.hard == HardState(1, OWN)
        assert [each.index for each in opened.stored.entries] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("place", [100, 200, 400])
async def test_a_damaged_log_is_set_aside_and_the_member_is_lost(
    tmp_path: Path, place: int
) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    await fill(folder, 20, 5)
    segment = next(path for path in (folder.path / "log").iterdir() if "log-" in path.name)
    data = bytearray(segment.read_bytes())
    data[place] ^= 1
    segment.write_bytes(data)
    async with opened_at(folder) as opened:
        assert opened.lost != 0
        assert (opened.state.applied, opened.stored.entries) == (0, ())
    assert list(folder.path.glob("log.damaged-*"))
    assert folder.group() == GROUP


async def test_a_state_that_is_behind_is_filled_from_the_log(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    await fill(folder, 5, 5)
    shutil.rmtree(folder.path / "state")
    async with opened_at(folder) as opened:
        assert (opened.lost, opened.state.applied) == (0, 0)
        await opened.state.apply(opened.stored.entries)
        assert opened.state.rows.setting("key-5") == "x"


async def test_a_state_behind_the_start_of_the_log_means_lost(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    await fill(folder, 5, 5)
    async with opened_at(folder) as opened:
        await opened.log.compact(SnapshotMark(4, 1, Members((OWN,))))
    shutil.rmtree(folder.path / "state")
    async with opened_at(folder) as opened:
        assert opened.lost != 0
        assert opened.stored.entries == ()


async def test_a_state_ahead_of_the_log_means_lost(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    await fill(folder, 3, 0)
    shutil.copytree(folder.path / "log", tmp_path / "older")
    async with opened_at(folder) as opened:
        entries = [entry(index) for index in range(4, 9)]
        await opened.log.save(None, entries)
        await opened.state.apply([*opened.stored.entries, *entries])
    shutil.rmtree(folder.path / "log")
    shutil.copytree(tmp_path / "older", folder.path / "log")
    async with opened_at(folder) as opened:
        assert opened.lost != 0
        assert opened.state.applied == 0
    assert list(folder.path.glob("state.damaged-*"))


async def test_a_crash_between_installing_and_shortening_is_mended(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    await fill(folder, 3, 3)
    mark = SnapshotMark(8, 1, Members((OWN,), (NodeId("cd" * 20),)))
    async with opened_at(folder) as opened:
        await opened.state.apply([entry(index) for index in range(4, 9)])
    Installing(folder.path).begin(mark)
    async with opened_at(folder) as opened:
        assert (opened.lost, opened.stored.mark, opened.stored.entries) == (0, mark, ())
        assert opened.stored.hard == HardState(1, OWN)
    async with opened_at(folder) as again:
        assert again.stored.mark == mark


async def test_a_note_about_an_install_that_never_happened_is_dropped(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    await fill(folder, 3, 3)
    Installing(folder.path).begin(SnapshotMark(8, 1, Members((OWN,))))
    async with opened_at(folder) as opened:
        assert (opened.lost, len(opened.stored.entries)) == (0, 3)
    assert Installing(folder.path).read() is None


@pytest.mark.parametrize("text", [b"", b"xyz", b"AB" * 16, b"ab" * 17, b"\xff" * 32])
def test_a_damaged_group_file_is_for_a_person(tmp_path: Path, text: bytes) -> None:
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    (folder.path / "group").write_bytes(text)
    with pytest.raises(StorageError, match="damaged"):
        folder.group()


async def test_nothing_runs_on_when_the_disk_cannot_be_opened(tmp_path: Path) -> None:
    """The thread of the log ends; the fixture that looks for threads would tell."""
    folder = GroupFolder(tmp_path)
    folder.join(GROUP)
    (folder.path / "state").write_text("in the way")
    with pytest.raises(StorageError):
        await folder.open()
