"""What a member remembers brings a plain `electrons up` back to its mesh."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import ConfigError, StorageError
from mesh.identity.grants import Grant
from mesh.identity.keys import RootKey
from mesh.identity.ticket import Contact, Ticket
from mesh.ids import MeshId, NodeId
from node.cli.invite import parse_life
from node.config import load_config
from node.joining import next_step, read_ticket
from node.membership import MEMBERSHIP_FILE, Membership, keep_membership, read_membership

NODE = NodeId("c" * 40)
ROOT = RootKey.generate()
MESH = ROOT.mesh_id
NOW = 1.7e9
CONTACTS = (Contact(NODE, ("tcp://10.0.0.1:7718", "relay://10.0.0.2:7718/a/b")),)
MEMBERSHIP = Membership(MESH, CONTACTS, NOW)


def ticket(*roles: str) -> Ticket:
    return Ticket(ROOT.public_key, roles or ("worker",), CONTACTS, int(NOW) + 9)  # type: ignore[arg-type]


def grant(*roles: str, until: float = NOW + 99) -> Grant:
    return Grant(MESH, NODE, roles, until, "5e", bytes(32), bytes(64))  # type: ignore[arg-type]


def test_it_comes_back_from_the_file(tmp_path: Path) -> None:
    assert read_membership(tmp_path) is None
    keep_membership(tmp_path, MEMBERSHIP)
    assert read_membership(tmp_path) == MEMBERSHIP
    assert (tmp_path / MEMBERSHIP_FILE).stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    keep_membership(tmp_path, MEMBERSHIP)
    (tmp_path / MEMBERSHIP_FILE).write_bytes(b"rubbish")
    with pytest.raises(StorageError, match="join with a new ticket"):
        read_membership(tmp_path)


def test_the_settings_follow_it(tmp_path: Path) -> None:
    keep_membership(tmp_path, MEMBERSHIP)
    config = load_config({"data_dir": str(tmp_path)}, environ={})
    assert config.network == MESH
    assert [(each.url, each.node) for each in config.join] == [("tcp://10.0.0.1:7718", NODE)]


def test_what_the_owner_says_comes_first(tmp_path: Path) -> None:
    keep_membership(tmp_path, MEMBERSHIP)
    flags = {"data_dir": str(tmp_path), "network": "other"}
    config = load_config(flags, environ={})
    assert config.network == "other" and config.join == ()
    flags = {"data_dir": str(tmp_path), "network": f"{MESH}+open"}
    config = load_config(flags, environ={})
    assert config.network == f"{MESH}+open" and len(config.join) == 1


def test_what_a_node_does_with_a_ticket() -> None:
    assert next_step(ticket(), None, None, NOW) == "redeem"
    assert next_step(ticket(), MEMBERSHIP, None, NOW) == "redeem"
    assert next_step(ticket(), MEMBERSHIP, grant("worker"), NOW) == "nothing"
    assert next_step(ticket("relay"), MEMBERSHIP, grant("worker"), NOW) == "redeem"
    assert next_step(ticket(), MEMBERSHIP, grant("worker", until=NOW - 1), NOW) == "renew"


def test_a_member_of_one_mesh_joins_no_other() -> None:
    other = Membership(MeshId("d" * 40), (), NOW)
    with pytest.raises(ConfigError, match="another mesh"):
        next_step(ticket(), other, None, NOW)


def test_what_was_pasted_never_stands_in_an_error() -> None:
    with pytest.raises(ConfigError) as error:
        read_ticket("electrons-ticket-secretsecret")
    assert "secretsecret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000)],
)
def test_lives_of_tickets(text: str, seconds: float) -> None:
    assert parse_life(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "31d", "-1h", "1w", "1.5h", "99999999999d"])
def test_a_life_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--expires"):
        parse_life(text)
