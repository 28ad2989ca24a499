"""Tickets, members and revocations in the replicated state: who gets in, and how often."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from coordinator.consensus.entry import Entry
from coordinator.state import admitting as rules
from coordinator.state import changes
from coordinator.state.admission_rows import AdmissionRows
from coordinator.state.database import create_database
from coordinator.state.machine import Machine
from coordinator.state.rows import Rows
from mesh.ids import NodeId
from mesh.wire.admission_commands import (
    AddInvite,
    DropInvite,
    RecordGrant,
    RedeemInvite,
    RevokeNode,
)
from mesh.wire.commands import Change, Command, RaiseLevel, decode_outcome, encode_command

NOW = 1e9
DAY = 86_400.0
TICKET = "ab" * 32
OTHER = "cd" * 32
ADMIN = "a" * 40
HOST = "b" * 40


def node(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


class Book:
    """A state that commands are applied to one by one."""

    def __init__(self, path: Path) -> None:
        create_database(path)
        self.machine = Machine(path)
        self.plain = Rows(path)
        self.rows = AdmissionRows(self.plain)
        self.index = 0

    def do(self, change: Change, at: float = NOW) -> str:
        self.index += 1
        data = encode_command(Command(f"{self.index:032x}", at, change))
        ((outcome,),), _ = self.machine.apply([[Entry(self.index, 1, "command", data)]])
        return decode_outcome(outcome).refusal

    def invite(self, uses: int = 1, digest: str = TICKET, *roles: str, by: str = ADMIN) -> str:
        return self.do(AddInvite(digest, roles or ("worker",), uses, NOW + DAY, by))

    def redeem(self, who: NodeId, digest: str = TICKET, at: float = NOW) -> str:
        return self.do(RedeemInvite(digest, who, HOST), at)

    def close(self) -> None:
        self.plain.close()
        self.machine.close()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    one = Book(tmp_path / "state.db")
    assert one.do(RaiseLevel(2)) == ""
    yield one
    one.close()


def test_below_its_level_nothing_is_admitted(tmp_path: Path) -> None:
    one = Book(tmp_path / "state.db")
    assert not one.rows.ready() and one.rows.revoked() == ()
    assert one.invite() == changes.LATER
    one.close()


def winners(book: Book, uses: int, racers: int, rng: Random) -> set[NodeId]:
    """Who got in when every racer asks several times, in any order."""
    book.invite(uses)
    attempts = [node(number) for number in range(racers) for _ in range(3)]
    rng.shuffle(attempts)
    return {who for who in attempts if book.redeem(who) == ""}


@pytest.mark.parametrize("uses", [1, 3])
def test_exactly_so_many_nodes_win_however_often_all_ask(book: Book, uses: int) -> None:
    won = winners(book, uses, 50, Random(uses))
    assert len(won) == uses
    assert {member.node for member in book.rows.members()} == won
    (invite,) = book.rows.invites()
    assert (invite.used, set(invite.nodes)) == (uses, won)


def test_the_check_goes_red_when_uses_are_not_counted(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deliberate bug: the count is read from the ticket, and never raised."""

    class Forgetful:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def execute(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
            return self._connection.execute(sql.replace("used + 1", "used"), values)

    redeem = rules.redeem
    monkeypatch.setattr(
        changes,
        "redeem",
        lambda connection, change, at: redeem(Forgetful(connection), change, at),  # type: ignore[arg-type]
    )
    assert len(winners(book, 1, 50, Random(1))) == 50


def test_a_node_that_missed_the_answer_asks_again(book: Book) -> None:
    book.invite()
    assert [book.redeem(node(1)), book.redeem(node(1)), book.redeem(node(2))] == ["", "", "used_up"]
    assert sum(row.what == "joined" for row in book.rows.audit(0, 10)) == 1


def test_wrong_and_unknown_tickets_are_told_alike(book: Book) -> None:
    book.invite()
    assert book.redeem(node(1), OTHER) == "unknown"
    assert book.do(DropInvite(TICKET, ADMIN)) == ""
    assert book.redeem(node(1)) == "unknown"
    assert book.do(DropInvite(TICKET, ADMIN)) == "unknown"


def test_an_expired_ticket_lets_nobody_in_and_is_forgotten(book: Book) -> None:
    book.invite(2)
    assert book.redeem(node(1)) == ""
    late = NOW + DAY + 1
    assert [book.redeem(node(1), at=late), book.redeem(node(2), at=late)] == ["expired"] * 2
    assert book.redeem(node(2), at=late + rules.FORGET_AFTER) == "unknown"
    assert book.rows.invites() == ()
    assert book.plain.ask("SELECT * FROM redemptions") == []


def test_a_grant_is_recorded_for_members_and_their_roles_only(book: Book) -> None:
    book.invite()
    grant = RecordGrant(node(1), "s1", ("worker",), NOW + 7 * DAY, HOST)
    assert book.do(grant) == "not_member"
    book.redeem(node(1))
    assert book.do(grant) == ""
    more = RecordGrant(node(1), "s2", ("coordinator", "worker"), NOW + DAY, HOST)
    assert book.do(more) == "not_allowed"
    assert book.do(RecordGrant(node(1), "s3", ("worker",), NOW + 9 * DAY, HOST)) == ""
    member = book.rows.member(node(1))
    assert member is not None and (member.serial, member.not_after) == ("s3", NOW + 9 * DAY)
    assert [row.what for row in book.rows.audit(0, 10)] == [
        "renewed",
        "granted",
        "joined",
        "invited",
    ]


def test_a_second_ticket_adds_roles(book: Book) -> None:
    book.invite()
    book.invite(1, OTHER, "coordinator", "gateway")
    book.redeem(node(1))
    book.redeem(node(1), OTHER)
    member = book.rows.member(node(1))
    assert member is not None and member.roles == ("coordinator", "gateway", "worker")


def test_the_checks_go_red_when_the_past_and_the_revoked_are_let_in(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deliberate bugs: an end is not looked at; nobody counts as revoked."""
    book.invite(9)
    book.do(RevokeNode(node(1), NOW + 365 * DAY, ADMIN))
    late = NOW + DAY + 1
    assert [book.redeem(node(1)), book.redeem(node(2), at=late)] == ["revoked", "expired"]
    redeem = rules.redeem
    monkeypatch.setattr(rules, "_is_revoked", lambda connection, who: False)
    monkeypatch.setattr(
        changes, "redeem", lambda connection, change, at: redeem(connection, change, NOW)
    )
    assert [book.redeem(node(1)), book.redeem(node(2), at=late)] == ["", ""]


def test_a_revoked_node_is_out_for_good(book: Book) -> None:
    book.invite(5)
    book.redeem(node(1))
    assert book.do(RevokeNode(node(1), NOW + 365 * DAY, ADMIN, "stolen")) == ""
    assert book.rows.member(node(1)) is None and book.rows.is_revoked(node(1))
    assert book.redeem(node(1)) == "revoked"
    assert book.do(RecordGrant(node(1), "s", ("worker",), NOW + DAY, HOST)) == "revoked"
    (entry,) = book.rows.revoked()
    assert (entry.node, entry.by, entry.reason) == (node(1), ADMIN, "stolen")
    late = NOW + 366 * DAY + 1
    assert book.do(DropInvite(OTHER, ADMIN), late) == "unknown"
    assert book.rows.revoked() == ()


def test_what_a_revoked_node_invited_goes_with_it(book: Book) -> None:
    book.invite(5, by=node(9))
    book.invite(5, OTHER)
    book.do(RevokeNode(node(9), NOW + DAY, ADMIN))
    assert [invite.digest for invite in book.rows.invites()] == [OTHER]


def test_a_member_that_does_not_come_back_is_forgotten(book: Book) -> None:
    book.invite()
    book.redeem(node(1))
    book.do(RecordGrant(node(1), "s", ("worker",), NOW + 7 * DAY, HOST))
    book.do(DropInvite(OTHER, ADMIN), NOW + 7 * DAY + rules.LAPSE - 1)
    assert book.rows.member(node(1)) is not None
    book.do(DropInvite(OTHER, ADMIN), NOW + 7 * DAY + rules.LAPSE + 1)
    assert book.rows.member(node(1)) is None


def test_what_can_be_filled_is_bounded(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_INVITES", "MAX_MEMBERS", "MAX_REVOKED_NODES"):
        monkeypatch.setattr(rules, name, 1)
    assert [book.invite(9), book.invite(9), book.invite(9, OTHER)] == ["", "exists", "full"]
    assert book.do(AddInvite(OTHER, ("worker",), 1, NOW + 31 * DAY, ADMIN)) == "wrong"
    assert [book.redeem(node(number)) for number in (1, 2)] == ["", "full"]
    revoked = [book.do(RevokeNode(node(n), NOW + DAY, ADMIN)) for n in (3, 3, 4)]
    assert revoked == ["", "", "full"]
    monkeypatch.setattr(rules, "MAX_MEMBERS", 9)
    monkeypatch.setattr(rules, "MAX_REDEMPTIONS", 1)
    assert book.redeem(node(2)) == "full"


def test_renewals_do_not_push_what_people_did_out_of_the_trail(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_ROUTINE", 3)
    monkeypatch.setattr(rules, "MAX_AUDIT", 4)
    book.invite()
    book.redeem(node(1))
    for number in range(9):
        book.do(RecordGrant(node(1), f"s{number}", ("worker",), NOW + DAY, HOST))
    kinds = [row.what for row in book.rows.audit(0, 100)]
    assert kinds == ["renewed"] * 3 + ["granted", "joined", "invited"]
    for number in range(2, 9):
        book.do(RevokeNode(node(number), NOW + DAY, ADMIN))
    rows = book.rows.audit(0, 100)
    assert [row.what for row in rows] == ["revoked"] * 4 + ["renewed"] * 3
    assert rows[0].number == 18
