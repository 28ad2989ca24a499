"""Commands to the replicated state, as every coordinator's log holds them. Typed msgpack arrays.

[kind, id, at, fields...]. Applying must give the same result at every member and in every version,
so what a kind means never changes: its fields are exactly these, within these bounds. Something
new is a new kind, of a new level (`coordinator.state.levels`). A retired number is not used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.errors import WireError
from mesh.identity.grants import MAX_SERIAL
from mesh.targets import MAX_REPLICAS, MAX_TARGET_NAME, ServiceTarget
from mesh.wire import fields
from mesh.wire.admission_commands import (
    AddInvite,
    AdmissionChange,
    DropInvite,
    RecordGrant,
    RedeemInvite,
    RevokeNode,
    admission_parts,
    read_admission,
)

MAX_BYTES = 64 * 1024
"""Bytes of one encoded command."""
ID_BYTES = 16
MAX_MODEL = 128
"""Characters of a model's name."""
MAX_PRIORITY = 1000
MAX_KEY = 128
MAX_VALUE = 4096
"""Characters of a setting's name and of its value."""
MAX_LEVEL = 10_000


@dataclass(frozen=True, slots=True)
class SetTarget:
    """Declare a service, or change its declaration."""

    target: ServiceTarget


@dataclass(frozen=True, slots=True)
class DropTarget:
    """No longer keep a service covered."""

    name: str


@dataclass(frozen=True, slots=True)
class SetSetting:
    """Set a small value that all coordinators share."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class DropSetting:
    """Forget a setting."""

    key: str


@dataclass(frozen=True, slots=True)
class RevokeGrant:
    """Believe a grant no longer. After `until` (Unix seconds), its own end, it can be forgotten."""

    serial: str
    until: float


@dataclass(frozen=True, slots=True)
class RaiseLevel:
    """From here on commands of this level are understood, and its tables are there."""

    level: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A kind that this version does not know."""

    kind: int


Change = (
    SetTarget
    | DropTarget
    | SetSetting
    | DropSetting
    | RevokeGrant
    | RaiseLevel
    | AdmissionChange
    | Unknown
)


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be done once, however often it comes: `id` is 32 random hex digits.

    `at` is the proposer's wall clock in Unix seconds, the only time that applying may know.
    """

    id: str
    at: float
    change: Change


@dataclass(frozen=True, slots=True)
class Outcome:
    """What applying gave: the place in the log, and why nothing was done where that is so."""

    index: int
    refusal: str = ""


def encode_command(command: Command) -> bytes:
    """At most MAX_BYTES. Raises WireError for what a reader would refuse."""
    kind, parts = _parts(command.change)
    data = fields.pack([kind, bytes.fromhex(command.id), float(command.at), *parts])
    decode_command(data)
    return data


def decode_command(data: bytes) -> Command:
    """Raises WireError for anything but a command within its bounds."""
    parts = fields.unpack(data, most=MAX_BYTES)
    if len(parts) < 3:
        raise WireError("a command has too few fields")
    kind = fields.whole(parts[0])
    command_id = fields.raw(parts[1], most=ID_BYTES, exactly=True).hex()
    return Command(command_id, fields.seconds(parts[2]), _change(kind, parts[3:]))


def encode_outcome(outcome: Outcome) -> bytes:
    """For the way back to the proposer."""
    return fields.pack([outcome.index, outcome.refusal])


def decode_outcome(data: bytes) -> Outcome:
    """Raises WireError."""
    parts = fields.unpack(data, most=1024)
    if len(parts) < 2:
        raise WireError("an outcome has too few fields")
    return Outcome(fields.whole(parts[0]), fields.text(parts[1], most=256))


def _parts(change: Change) -> tuple[int, list[Any]]:
    match change:
        case SetTarget(target):
            return 1, _target_parts(target)
        case DropTarget(name):
            return 2, [name]
        case SetSetting(key, value):
            return 3, [key, value]
        case DropSetting(key):
            return 4, [key]
        case RevokeGrant(serial, until):
            return 5, [serial, float(until)]
        case RaiseLevel(level):
            return 6, [level]
        case AddInvite() | DropInvite() | RedeemInvite() | RecordGrant() | RevokeNode():
            return admission_parts(change)
        case Unknown(kind):
            raise WireError(f"command kind {kind} is not known")


def _target_parts(target: ServiceTarget) -> list[Any]:
    words = [target.name, target.model, target.engine]
    return [*words, target.priority, target.min_replicas, target.memory, target.gpu_memory]


def _change(kind: int, parts: list[Any]) -> Change:
    match kind:
        case 1:
            return SetTarget(_target(_exactly(7, parts)))
        case 2:
            return DropTarget(_name(_exactly(1, parts)[0], MAX_TARGET_NAME))
        case 3:
            key, value = _exactly(2, parts)
            return SetSetting(_name(key, MAX_KEY), fields.text(value, most=MAX_VALUE))
        case 4:
            return DropSetting(_name(_exactly(1, parts)[0], MAX_KEY))
        case 5:
            serial, until = _exactly(2, parts)
            return RevokeGrant(_name(serial, MAX_SERIAL), fields.seconds(until))
        case 6:
            return RaiseLevel(fields.whole(_exactly(1, parts)[0], most=MAX_LEVEL))
    return read_admission(kind, parts) or Unknown(kind)


def _target(parts: list[Any]) -> ServiceTarget:
    name, model, engine, priority, replicas, memory, gpu_memory = parts
    return ServiceTarget(
        name=_name(name, MAX_TARGET_NAME),
        model=_name(model, MAX_MODEL),
        engine=fields.text(engine, most=MAX_TARGET_NAME),
        priority=fields.whole(priority, most=MAX_PRIORITY),
        min_replicas=fields.whole(replicas, most=MAX_REPLICAS),
        memory=fields.whole(memory),
        gpu_memory=fields.whole(gpu_memory),
    )


def _exactly(count: int, parts: list[Any]) -> list[Any]:
    if len(parts) != count:
        raise WireError(f"the command has {len(parts)} fields, not {count}")
    return parts


def _name(value: object, most: int) -> str:
    name = fields.text(value, most=most)
    if not name:
        raise WireError("a name is empty")
    return name
