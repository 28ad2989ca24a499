"""Members' addresses outlive the process, and a spoilt file does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.group.addresses import ADDRESSES_FILE, MAX_KEPT, MemberAddresses
from mesh.ids import NodeId

ONE, TWO = NodeId("01" * 20), NodeId("02" * 20)


def nobody_knows(node: NodeId) -> tuple[str, ...]:
    return ()


def test_what_is_known_now_comes_first_and_what_was_known_stays(tmp_path: Path) -> None:
    known = {ONE: ("tcp://10.0.0.1:1",), TWO: ("tcp://10.0.0.2:1",)}
    MemberAddresses(tmp_path, lambda node: known[node]).remember([ONE, TWO])
    again = MemberAddresses(tmp_path, nobody_knows)
    assert again.find(ONE) == ("tcp://10.0.0.1:1",)
    again.remember([ONE, TWO])
    assert again.find(TWO) == ("tcp://10.0.0.2:1",), "not to know now is no reason to forget"
    moved = MemberAddresses(tmp_path, lambda _: ("tcp://10.9.9.9:1",))
    assert moved.find(ONE) == ("tcp://10.9.9.9:1",)


def test_who_is_no_member_any_more_is_forgotten(tmp_path: Path) -> None:
    addresses = MemberAddresses(tmp_path, lambda node: (f"tcp://{node}:1",))
    addresses.remember([ONE, TWO])
    addresses.remember([TWO])
    assert MemberAddresses(tmp_path, nobody_knows).find(ONE) == ()
    assert MemberAddresses(tmp_path, nobody_knows).find(TWO) != ()


def test_a_member_with_many_addresses_keeps_a_few(tmp_path: Path) -> None:
    many = tuple(f"tcp://10.0.0.{number}:1" for number in range(16))
    MemberAddresses(tmp_path, lambda _: many).remember([ONE])
    assert MemberAddresses(tmp_path, nobody_knows).find(ONE) == many[:MAX_KEPT]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x90", b"\x91\x92\x01\x02", bytes(100_000)])
def test_a_spoilt_file_is_as_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / ADDRESSES_FILE
    path.write_bytes(data)
    path.chmod(0o600)
    addresses = MemberAddresses(tmp_path, lambda _: ("tcp://10.0.0.1:1",))
    addresses.remember([ONE])
    assert MemberAddresses(tmp_path, nobody_knows).find(ONE) == ("tcp://10.0.0.1:1",)
