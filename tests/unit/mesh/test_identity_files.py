"""Keys, boot counters and root keys on disk: made once, private, and never silently replaced."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mesh.errors import StorageError
from mesh.identity.boot import next_boot
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.mesh import create_mesh, local_mesh, mesh_of_network, root_of
from mesh.identity.private_file import write_private
from mesh.ids import mesh_id_of, node_id_of


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "node.key"
    first = NodeKey.load_or_create(path)
    again = NodeKey.load_or_create(path)
    assert first.public_key == again.public_key
    assert first.node_id == node_id_of(first.public_key)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["node.key"]


def test_whoever_comes_second_takes_the_first_ones_key(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    winner = NodeKey.load_or_create(path)
    assert not write_private(path, b"other", "the key", replace=False)
    assert NodeKey.load_or_create(path).node_id == winner.node_id


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 70_000])
def test_garbage_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.key"
    write_private(path, content, "x")
    with pytest.raises(StorageError, match=r"holds no key: restore it .* or move it away"):
        NodeKey.load_or_create(path)
    assert path.read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    rsa = generate_private_key(65537, 2048)
    pem = rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(path, pem, "x")
    with pytest.raises(StorageError, match="not an Ed25519 key"):
        NodeKey.load_or_create(path)


def test_a_key_others_can_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    NodeKey.load_or_create(path)
    path.chmod(0o644)
    with pytest.raises(StorageError, match=f"chmod 600 {path}"):
        NodeKey.load_or_create(path)


def test_a_folder_in_the_keys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "node.key").mkdir()
    with pytest.raises(StorageError, match=r"node\.key"):
        NodeKey.load_or_create(tmp_path / "node.key")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        NodeKey.load_or_create(tmp_path / "file" / "node.key")


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left .*: free space on that disk"):
        NodeKey.load_or_create(tmp_path / "node.key")
    assert list(tmp_path.iterdir()) == []


def test_the_boot_counter_rises_and_ids_differ(tmp_path: Path) -> None:
    boots = [next_boot(tmp_path / "boot") for _ in range(3)]
    assert [boot.counter for boot in boots] == [1, 2, 3]
    assert len({boot.boot_id for boot in boots}) == 3
    assert (tmp_path / "boot").read_text() == "3\n"


@pytest.mark.parametrize("content", [b"", b"-1", b"x", b"1e9", b"9" * 16, b"3 4"])
def test_a_broken_boot_counter_is_not_restarted(tmp_path: Path, content: bytes) -> None:
    write_private(tmp_path / "boot", content, "x")
    with pytest.raises(StorageError, match="does not hold a number: write one into it"):
        next_boot(tmp_path / "boot")


def test_a_mesh_is_founded_once(tmp_path: Path) -> None:
    root = create_mesh(tmp_path)
    assert root.mesh_id == mesh_id_of(root.public_key)
    found = root_of(tmp_path)
    assert found is not None
    assert found.mesh_id == root.mesh_id
    with pytest.raises(StorageError, match="already holds the root key"):
        create_mesh(tmp_path)
    assert mode(tmp_path / "mesh.key") == 0o600


def test_a_node_keeps_its_local_mesh(tmp_path: Path) -> None:
    assert root_of(tmp_path) is None
    assert local_mesh(tmp_path).mesh_id == local_mesh(tmp_path).mesh_id
    assert local_mesh(tmp_path / "other").mesh_id != local_mesh(tmp_path).mesh_id


def test_a_network_name_is_a_mesh_of_its_own() -> None:
    assert mesh_of_network("local") == mesh_of_network("local")
    assert mesh_of_network("local") != mesh_of_network("Local")
    assert mesh_of_network("local") != RootKey.generate().mesh_id
    for name in ("", "x" * 65, "a\nb"):
        with pytest.raises(ValueError, match="1 to 64 printable"):
            mesh_of_network(name)
