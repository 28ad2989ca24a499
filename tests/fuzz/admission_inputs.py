"""What strangers may send to be admitted, and commands as a member's disk or peer may hold them."""

from __future__ import annotations

from mesh.admission import AuditRow, Invite, Member, RevokedNode
from mesh.identity.ticket import Contact
from mesh.ids import NodeId
from mesh.wire.admission import (
    AUDIT,
    INVITES,
    MEMBERS,
    REVOKED,
    AskDrop,
    AskInvite,
    AskList,
    AskRevoke,
    Elsewhere,
    Granted,
    Redeem,
    Refused,
    Renew,
    Rows,
    encode_answer,
    encode_request,
)
from mesh.wire.admission_commands import AddInvite, RecordGrant, RedeemInvite, RevokeNode
from mesh.wire.commands import Command, SetSetting, encode_command

A, B = NodeId("a1" * 20), NodeId("b2" * 20)
DIGEST = "cd" * 32
REQUESTS = tuple(
    encode_request(request)
    for request in (
        Redeem(bytes(16)),
        Renew(),
        AskInvite(DIGEST, ("worker",), 3, 60.0, "note"),
        AskDrop("cdcd"),
        AskRevoke(A, "stolen"),
        AskList(AUDIT, 3, 100),
    )
)
ANSWERS = tuple(
    encode_answer(answer)
    for answer in (
        Granted(b"grant"),
        Refused("used_up", "words"),
        Elsewhere((Contact(A, ("tcp://10.0.0.1:1",)),)),
        Rows(INVITES, (Invite(DIGEST, ("worker",), 3, 1, 2e9, A, 1e9, "note", (B,)),)),
        Rows(MEMBERS, (Member(B, ("worker",), "5e", 2e9, A, DIGEST, 1e9, 1e9),)),
        Rows(AUDIT, (AuditRow(7, "joined", 1e9, A, B, "words"),), False),
        Rows(REVOKED, (RevokedNode(B, 2e9, A, 1e9, "stolen"),)),
    )
)
COMMANDS = tuple(
    encode_command(Command("0f" * 16, 1e9, change))
    for change in (
        SetSetting("key", "value"),
        AddInvite(DIGEST, ("gateway", "worker"), 3, 2e9, A, "note"),
        RedeemInvite(DIGEST, B, A),
        RecordGrant(B, "5e", ("worker",), 2e9, A),
        RevokeNode(B, 2e9, A, "stolen"),
    )
)
