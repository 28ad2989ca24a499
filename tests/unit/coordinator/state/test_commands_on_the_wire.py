"""Commands come back as they were, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import WireError
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
    Command,
    DropSetting,
    DropTarget,
    Outcome,
    RaiseLevel,
    RevokeGrant,
    SetSetting,
    SetTarget,
    Unknown,
    decode_command,
    decode_outcome,
    encode_command,
    encode_outcome,
)

TARGET = ServiceTarget("chat", "llama3:8b", "ollama", 2, 3, 2**33, 2**34)
ID = "0f" * 16
CHANGES: list[Change] = [
    SetTarget(TARGET),
    DropTarget("chat"),
    SetSetting("quota", "7"),
    DropSetting("quota"),
    RevokeGrant("ab12", 1.5e9),
    RaiseLevel(2),
    AddInvite("ab" * 32, ("gateway", "worker"), 3, 2e9, "c" * 40, "for Ann"),
    DropInvite("ab" * 32, "c" * 40),
    RedeemInvite("ab" * 32, NodeId("d" * 40), "c" * 40),
    RecordGrant(NodeId("d" * 40), "0123456789abcdef", ("worker",), 2e9, "c" * 40),
    RevokeNode(NodeId("d" * 40), 2e9, "c" * 40, "lost laptop"),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_every_command_comes_back(change: Change) -> None:
    command = Command(ID, 1.25, change)
    assert decode_command(encode_command(command)) == command


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_a_field_more_or_less_is_refused(change: Change) -> None:
    parts = fields.unpack(encode_command(Command(ID, 1.0, change)), most=1000)
    for wrong in (parts[:-1], [*parts, 0]):
        with pytest.raises(WireError):
            decode_command(fields.pack(wrong))


@pytest.mark.parametrize(
    "change",
    [
        SetTarget(replace(TARGET, name="")),
        SetTarget(replace(TARGET, name="n" * 65)),
        SetTarget(replace(TARGET, model="")),
        SetTarget(replace(TARGET, priority=-1)),
        SetTarget(replace(TARGET, min_replicas=10_001)),
        SetTarget(replace(TARGET, memory=2**63)),
        SetSetting("", "x"),
        SetSetting("k", "x" * 4097),
        RevokeGrant("s" * 33, 1.0),
        RevokeGrant("s", float("nan")),
        Unknown(99),
        AddInvite("ab" * 32, (), 1, 2e9, "c"),
        AddInvite("ab" * 32, ("worker", "gateway"), 1, 2e9, "c"),
        AddInvite("ab" * 32, ("worker", "worker"), 1, 2e9, "c"),
        AddInvite("ab" * 32, ("Worker",), 1, 2e9, "c"),
        AddInvite("ab" * 32, ("worker",), 0, 2e9, "c"),
        AddInvite("ab" * 32, ("worker",), 10_001, 2e9, "c"),
        AddInvite("ab" * 31, ("worker",), 1, 2e9, "c"),
        AddInvite("ab" * 32, ("worker",), 1, 2e9, "c", "n" * 121),
        RedeemInvite("ab" * 32, NodeId("d" * 38), "c"),
        RevokeNode(NodeId("d" * 40), float("inf"), "c"),
        RevokeNode(NodeId("d" * 40), 2e9, ""),
    ],
)
def test_what_is_out_of_bounds_is_never_proposed(change: Change) -> None:
    with pytest.raises(WireError):
        encode_command(Command(ID, 1.0, change))


def test_a_kind_of_a_later_version_is_told_from_rubbish() -> None:
    data = fields.pack([200, bytes.fromhex(ID), 1.0, "anything"])
    assert decode_command(data) == Command(ID, 1.0, Unknown(200))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_refused(data: bytes) -> None:
    try:
        command = decode_command(data)
    except WireError:
        return
    assert len(command.id) == 32


def test_outcomes_come_back() -> None:
    outcome = Outcome(7, "no")
    assert decode_outcome(encode_outcome(outcome)) == outcome
    with pytest.raises(WireError):
        decode_outcome(b"\x91\x01")
