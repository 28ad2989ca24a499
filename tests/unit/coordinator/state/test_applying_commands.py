"""The same commands give the same state, once, whatever else happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from coordinator.consensus.entry import Entry
from coordinator.state import changes as rules
from coordinator.state import machine as machine_module
from coordinator.state.database import create_database
from coordinator.state.digest import outliers, recount
from coordinator.state.levels import LATEST, LEVELS
from coordinator.state.machine import CHECKPOINT_EVERY, CHECKPOINTS, Machine
from coordinator.state.rows import Rows
from mesh.errors import StorageError
from mesh.ids import NodeId
from mesh.targets import ServiceTarget
from mesh.wire import fields
from mesh.wire.admission_commands import (
    AddInvite,
    DropInvite,
    RecordGrant,
    RedeemInvite,
    RevokeNode,
)
from mesh.wire.commands import (
    Change,
    DropSetting,
    DropTarget,
    RaiseLevel,
    RevokeGrant,
    SetSetting,
    SetTarget,
    decode_outcome,
)
from tests.unit.coordinator.state.conftest import MakeEntry


class Opened:
    """A machine with its reader."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            create_database(path)
        self.machine = Machine(path)
        self.rows = Rows(path)

    def apply(self, *entries: Entry) -> list[str]:
        """The refusals."""
        (outcomes,), _ = self.machine.apply([entries])
        return [decode_outcome(outcome).refusal for outcome in outcomes]

    def close(self) -> None:
        self.rows.close()
        self.machine.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    one = Opened(tmp_path / "state.db")
    yield one
    one.close()


def to_latest(entry: MakeEntry) -> list[Entry]:
    """The entries 1 to LATEST - 1, which bring a new state to the latest level."""
    return [entry(level - 1, RaiseLevel(level)) for level in range(2, LATEST + 1)]


def random_admission(rng: Random) -> Change:
    digest, node = f"{rng.randint(0, 3):064x}", NodeId(f"{rng.randint(0, 5):040x}")
    until = rng.uniform(1e9, 1e9 + 2e5)
    return rng.choice(
        (
            AddInvite(digest, ("worker",), rng.randint(1, 3), until, "0" * 40),
            DropInvite(digest, "by"),
            RedeemInvite(digest, node, "by"),
            RecordGrant(node, "ab", ("worker",), until, "by"),
            RevokeNode(node, until, "by"),
        )
    )


def random_change(rng: Random) -> Change:
    name = f"n{rng.randint(0, 9)}"
    return rng.choice(
        (
            *(random_admission(rng) for _ in range(6)),
            SetTarget(ServiceTarget(name, f"m{rng.randint(0, 3)}", priority=rng.randint(1, 3))),
            DropTarget(name),
            SetSetting(name, str(rng.randint(0, 99))),
            DropSetting(name),
            RevokeGrant(name, rng.uniform(1e9, 1e9 + 2e5)),
            RaiseLevel(rng.randint(0, LATEST)),
        )
    )


def test_targets_settings_and_revocations(opened: Opened, entry: MakeEntry) -> None:
    target = ServiceTarget("chat", "llama3", "ollama", 2, 3, 4, 5)
    refusals = opened.apply(
        entry(1, SetTarget(target)),
        entry(2, SetTarget(ServiceTarget("old", "m"))),
        entry(3, DropTarget("old")),
        entry(4, SetSetting("a", "1")),
        entry(5, SetSetting("a", "2")),
        entry(6, RevokeGrant("ab", 2e9)),
        entry(7, DropSetting("b")),
    )
    assert refusals == [""] * 6 + ["nothing of that name is in settings"]
    assert opened.rows.targets() == (target,)
    assert opened.rows.settings() == {"a": "2"} and opened.rows.setting("b") is None
    assert opened.rows.revoked() == {"ab"}


def test_a_command_is_done_once(opened: Opened, entry: MakeEntry) -> None:
    first = opened.machine.apply([[entry(1, SetSetting("a", "1"), id="ee" * 16)]])[0][0][0]
    opened.apply(entry(2, SetSetting("a", "2")))
    again = opened.machine.apply([[entry(3, SetSetting("a", "1"), id="ee" * 16)]])[0][0][0]
    assert first == again
    assert opened.rows.setting("a") == "2"


def test_ids_are_forgotten_by_place(
    opened: Opened, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_module, "REMEMBERED", 10)
    opened.apply(*(entry(index, SetSetting("a", str(index))) for index in range(1, 101)))
    connection = opened.rows._connection
    assert connection.execute("SELECT min(place), count(*) FROM recent").fetchone() == (91, 10)


def test_entries_come_in_order_and_old_ones_change_nothing(
    opened: Opened, entry: MakeEntry
) -> None:
    opened.apply(entry(1, SetSetting("a", "1")))
    other = Entry(2, 3, "members", b"whatever")
    assert opened.machine.apply([[entry(1, SetSetting("a", "9")), other]])[0] == [[b"", b""]]
    assert (opened.machine.applied, opened.machine.term) == (2, 3)
    assert opened.rows.setting("a") == "1"
    with pytest.raises(StorageError, match="cannot be applied after 2"):
        opened.apply(entry(4, SetSetting("a", "1")))
    with pytest.raises(StorageError):
        opened.apply(entry(3, SetSetting("a", "1")))


def test_rubbish_and_later_kinds_are_refused_the_same_everywhere(opened: Opened) -> None:
    later = fields.pack([200, bytes(16), 1.0])
    entries = [Entry(1, 1, "command", b"rubbish"), Entry(2, 1, "command", later)]
    assert opened.apply(*entries) == ["it is not a command", rules.LATER]
    assert opened.machine.applied == 2


def test_what_can_be_filled_is_bounded(
    opened: Opened, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_TARGETS", "MAX_SETTINGS", "MAX_REVOCATIONS"):
        monkeypatch.setattr(rules, name, 1)
    changes: list[Change] = []
    for name in ("a", "b", "a"):
        changes += [SetTarget(ServiceTarget(name, "m")), SetSetting(name, "x")]
        changes += [RevokeGrant(name, 2e9)]
    refusals = opened.apply(*(entry(place, change) for place, change in enumerate(changes, 1)))
    assert [bool(refusal) for refusal in refusals] == [False] * 3 + [True] * 3 + [False] * 3


def test_a_revocation_goes_when_its_grant_has_long_ended(opened: Opened, entry: MakeEntry) -> None:
    opened.apply(entry(1, RevokeGrant("ab", 1e9)), entry(2, RevokeGrant("cd", 2e9), at=1e9 + 1e5))
    assert opened.rows.revoked() == {"cd"}


def test_a_level_is_raised_by_one_and_a_later_one_stops_the_member(
    opened: Opened, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("CREATE TABLE jobs (id TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID",)
    with monkeypatch.context() as newer:
        for module in ("machine", "database"):
            newer.setattr(f"coordinator.state.{module}.LATEST", LATEST + 1)
        levels = (*LEVELS, more)
        opened.apply(*to_latest(entry))
        newer.setattr(machine_module, "LEVELS", levels)
        newer.setattr("coordinator.state.levels.LEVELS", levels)
        refusals = opened.apply(
            entry(LATEST, RaiseLevel(LATEST + 2)),
            entry(LATEST + 1, RaiseLevel(LATEST + 1)),
            entry(LATEST + 2, RaiseLevel(1)),
        )
        assert [bool(refusal) for refusal in refusals] == [True, False, True]
        opened.machine._connection.execute("INSERT INTO jobs VALUES ('a', x'00')")
        assert recount(opened.machine._connection) == opened.machine._digest.packed()
        opened.apply(entry(LATEST + 3, SetSetting("a", "1")))
        Machine(opened.machine.path).close()
    with pytest.raises(StorageError, match="update this node"):
        Machine(opened.machine.path)


def test_an_older_version_refuses_to_go_on_behind_a_raised_level(
    opened: Opened, entry: MakeEntry
) -> None:
    opened.apply(*to_latest(entry))
    with pytest.raises(StorageError, match="update this node"):
        opened.apply(entry(LATEST, SetSetting("a", "1")), entry(LATEST + 1, RaiseLevel(LATEST + 1)))
    opened.close()
    again = Opened(opened.machine.path)
    assert again.machine.applied == LATEST - 1 and again.rows.settings() == {}
    again.close()


@pytest.mark.parametrize("seed", range(10))
def test_members_agree_however_entries_are_grouped(
    tmp_path: Path, entry: MakeEntry, seed: int
) -> None:
    rng = Random(seed)
    log = [
        entry(i, random_change(rng), id=f"{rng.randint(1, 150):032x}", at=1e9 + i * 500)
        for i in range(1, 201)
    ]
    one, other = Opened(tmp_path / "one.db"), Opened(tmp_path / "other.db")
    expected = one.apply(*log)
    refusals: list[str] = []
    while other.machine.applied < len(log):
        start = other.machine.applied
        refusals += other.apply(*log[start : start + rng.randint(1, 20)])
        if rng.random() < 0.2:
            other.close()
            other = Opened(tmp_path / "other.db")
    assert refusals == expected
    assert other.rows.digest() == one.rows.digest()
    assert recount(one.machine._connection) == one.rows.digest()[1]
    assert list(one.machine._connection.iterdump()) == list(other.machine._connection.iterdump())
    one.close()
    other.close()


def test_a_state_that_went_another_way_is_called_wrong(tmp_path: Path, entry: MakeEntry) -> None:
    """The deliberate bug: one member applies by its own clock instead of the command's time."""
    members = {name: Opened(tmp_path / name) for name in "abc"}
    for name, member in members.items():
        at = 1e9 + 2e5 if name == "b" else 1e9
        member.apply(entry(1, RevokeGrant("x", 1e9)), entry(2, RevokeGrant("y", 2e9), at=at))
    digests = {name: member.rows.digest()[1] for name, member in members.items()}
    assert outliers(digests, 3) == {"b"}
    assert outliers({"a": digests["a"], "b": digests["b"]}, 3) == frozenset()
    for member in members.values():
        member.close()


def test_digests_of_round_places_are_kept(opened: Opened) -> None:
    last = (CHECKPOINTS + 2) * CHECKPOINT_EVERY
    opened.machine.apply([[Entry(index, 1, "empty", b"") for index in range(1, last + 1)]])
    checkpoints = opened.rows.checkpoints()
    assert len(checkpoints) == CHECKPOINTS and max(checkpoints) == last
