"""Peers met before: a small file that trouble cannot make harmful."""

from __future__ import annotations

from pathlib import Path

import pytest

from dht.join_address import JoinAddress
from dht.remembered import MAX_FILE, MAX_PEERS, RememberedPeers
from mesh.capability import NodeRecord, Peer
from mesh.ids import NodeId


def peer(number: int, *, linked: bool = False, addresses: tuple[str, ...] | None = None) -> Peer:
    url = (f"tcp://192.0.2.{number % 250}:{7000 + number}",)
    record = NodeRecord(
        NodeId(f"{number:040x}"), 1, 0.0, 100.0, url if addresses is None else addresses
    )
    return Peer(record, linked=linked)


def test_what_was_saved_is_loaded_with_who_it_was(tmp_path: Path) -> None:
    file = RememberedPeers(tmp_path / "peers.json")
    file.save([peer(1), peer(2, addresses=("wss://n.example.org:443/mesh", "relay://x/y"))])
    assert list(RememberedPeers(tmp_path / "peers.json").load()) == [
        JoinAddress("tcp://192.0.2.1:7001", NodeId(f"{1:040x}")),
        JoinAddress("wss://n.example.org:443/mesh", NodeId(f"{2:040x}")),
    ]


def test_linked_peers_come_first_and_the_rest_is_cut(tmp_path: Path) -> None:
    file = RememberedPeers(tmp_path / "peers.json")
    file.save(peer(number, linked=number >= 150) for number in range(200))
    loaded = file.load()
    assert len(loaded) == MAX_PEERS
    assert {int(each.node or "0", 16) for each in loaded[:50]} == set(range(150, 200))


def test_knowing_nobody_does_not_erase_who_was_known(tmp_path: Path) -> None:
    file = RememberedPeers(tmp_path / "peers.json")
    file.save([peer(1)])
    file.save([])
    file.save([peer(2, addresses=())])
    assert len(file.load()) == 1


def test_no_file_means_nobody(tmp_path: Path) -> None:
    assert not RememberedPeers(tmp_path / "peers.json").load()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"peers": 4}',
        b'{"peers": [["nonsense"]]}',
        b"\xff",
        b"x" * (MAX_FILE + 1),
    ],
)
def test_a_broken_file_is_told_and_left(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "peers.json").write_bytes(content)
    assert not RememberedPeers(tmp_path / "peers.json").load()
    assert "cannot be used" in caplog.text


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = RememberedPeers(tmp_path / "missing" / "peers.json")
    file.save([peer(1)])
    assert "cannot be remembered" in caplog.text
