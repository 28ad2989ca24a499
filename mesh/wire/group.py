"""What opens a CONSENSUS stream, and the questions that other nodes put to the group.

A member keeps one stream to every other, which carries only messages of `mesh.wire.consensus`
after its Membership; there is no answer on it, since the other has a stream of its own. Everything
else is one request and one answer. Each is a msgpack array whose first item is its number; items a
reader does not know are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.consensus import MAX_COMMAND, MAX_STANDBYS, MAX_VOTERS, GroupReport, Members
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import fields

MEMBERSHIP, PROPOSE, READ_INDEX, ASK_REPORT, ASK_LEVEL = 1, 2, 3, 4, 5
APPLIED, INDEX, REPORT, ELSEWHERE, REFUSED, DOUBTFUL, LEVEL = 17, 18, 19, 20, 21, 22, 23
"""Message numbers. Retired: none."""

NOT_GRANTED, OTHER_GROUP, NO_DISK = 1, 2, 3
"""Why a member resets another's stream."""

GROUP_BYTES = 16
"""A group's id."""
MAX_REQUEST = MAX_COMMAND + 1024
MAX_REASON = 300
MAX_OUTCOME = 4096
MAX_REPORT = 16 * 1024


@dataclass(frozen=True, slots=True)
class Membership:
    """From here on this stream carries messages of the group with this id (32 hex digits)."""

    group: str


@dataclass(frozen=True, slots=True)
class Propose:
    """Have a command decided. Only the leader takes it."""

    command: bytes


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Which index a read that begins now must have applied."""


@dataclass(frozen=True, slots=True)
class AskReport:
    """How is the group?"""


@dataclass(frozen=True, slots=True)
class AskLevel:
    """Up to which level of commands do you know? A release from before levels resets the stream."""


@dataclass(frozen=True, slots=True)
class Level:
    """The answer to AskLevel."""

    level: int


@dataclass(frozen=True, slots=True)
class Applied:
    """The command is decided and applied; `outcome` is what that gave."""

    outcome: bytes


@dataclass(frozen=True, slots=True)
class Index:
    """The answer to ReadIndex."""

    index: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """This member does not lead; `leader` does, as far as it knows. Nothing was done."""

    leader: NodeId | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done, and nothing will come of it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """It may yet be decided, or not: ask again with the same command."""


Request = Membership | Propose | ReadIndex | AskReport | AskLevel
Answer = Applied | Index | GroupReport | Elsewhere | Refused | Doubtful | Level


def encode_request(request: Request) -> bytes:
    """At most MAX_REQUEST bytes for a command within its bounds."""
    match request:
        case Membership(group):
            return fields.pack([MEMBERSHIP, bytes.fromhex(group)])
        case Propose(command):
            return fields.pack([PROPOSE, command])
        case ReadIndex():
            return fields.pack([READ_INDEX])
        case AskReport():
            return fields.pack([ASK_REPORT])
        case AskLevel():
            return fields.pack([ASK_LEVEL])


def decode_request(data: bytes) -> Request:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_REQUEST)
    number = fields.whole(parts[0]) if parts else 0
    if number in (READ_INDEX, ASK_REPORT):
        return ReadIndex() if number == READ_INDEX else AskReport()
    if number == ASK_LEVEL:
        return AskLevel()
    if len(parts) < 2:
        raise WireError("a request to the group is too short")
    if number == MEMBERSHIP:
        return Membership(fields.raw(parts[1], most=GROUP_BYTES, exactly=True).hex())
    if number == PROPOSE:
        return Propose(fields.raw(parts[1], most=MAX_COMMAND))
    raise WireError("an unknown request to the group")


def encode_answer(answer: Answer) -> bytes:
    """Encode what a member answers."""
    match answer:
        case Applied(outcome):
            parts: list[Any] = [APPLIED, outcome]
        case Index(index):
            parts = [INDEX, index]
        case Elsewhere(leader):
            parts = [ELSEWHERE, _packed(leader)]
        case Refused(reason):
            parts = [REFUSED, reason[:MAX_REASON]]
        case Doubtful():
            parts = [DOUBTFUL, None]
        case Level(level):
            parts = [LEVEL, level]
        case GroupReport():
            parts = [REPORT, _report_parts(answer)]
    return fields.pack(parts)


def decode_answer(data: bytes) -> Answer:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_REPORT)
    if len(parts) < 2:
        raise WireError("an answer of the group is too short")
    number, value = fields.whole(parts[0]), parts[1]
    match number:
        case 17:
            return Applied(fields.raw(value, most=MAX_OUTCOME))
        case 18:
            return Index(fields.whole(value))
        case 19:
            return _report(value)
        case 20:
            return Elsewhere(_unpacked(value))
        case 21:
            return Refused(fields.text(value, most=MAX_REASON))
        case 22:
            return Doubtful()
        case 23:
            return Level(fields.whole(value))
    raise WireError("an unknown answer of the group")


def _report_parts(report: GroupReport) -> list[Any]:
    return [
        bytes.fromhex(report.group),
        bytes.fromhex(report.reporter),
        _packed(report.leader),
        report.term,
        [bytes.fromhex(node) for node in report.members.voters],
        [bytes.fromhex(node) for node in report.members.standbys],
        report.commit,
        report.applied,
        [[bytes.fromhex(node), lag] for node, lag in report.lag.items()],
        [bytes.fromhex(node) for node in report.silent],
    ]


def _report(value: object) -> GroupReport:
    parts = fields.listed(value, most=64)
    if len(parts) < 10:
        raise WireError("a report of the group is too short")
    everyone = MAX_VOTERS + MAX_STANDBYS
    lag: dict[NodeId, int] = {}
    for row in fields.listed(parts[8], most=everyone):
        pair = fields.listed(row, most=8)
        if len(pair) < 2:
            raise WireError("a report of the group is malformed")
        lag[fields.node_id(pair[0])] = fields.whole(pair[1])
    return GroupReport(
        group=fields.raw(parts[0], most=GROUP_BYTES, exactly=True).hex(),
        reporter=fields.node_id(parts[1]),
        leader=_unpacked(parts[2]),
        term=fields.whole(parts[3]),
        members=Members(_nodes(parts[4], MAX_VOTERS), _nodes(parts[5], MAX_STANDBYS)),
        commit=fields.whole(parts[6]),
        applied=fields.whole(parts[7]),
        lag=lag,
        silent=_nodes(parts[9], everyone),
    )


def _nodes(value: object, most: int) -> tuple[NodeId, ...]:
    return tuple(fields.node_id(item) for item in fields.listed(value, most=most))


def _packed(node: NodeId | None) -> bytes | None:
    return None if node is None else bytes.fromhex(node)


def _unpacked(value: object) -> NodeId | None:
    return None if value is None else fields.node_id(value)
