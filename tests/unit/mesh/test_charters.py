"""A charter gives a node its role, and to one node of a mesh the right to found."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.capability import Role
from mesh.errors import ConfigError, RecordRejected
from mesh.identity.charter import (
    check_charter,
    claim_founding,
    decode_charter,
    encode_charter,
    write_charter,
)
from mesh.identity.grants import issue_grant
from mesh.identity.keys import NodeKey, RootKey
from node.cli.main import main
from node.standing import read_charters, settle_standing, take_roles

ROOT, NODE, OTHER = RootKey.generate(), NodeKey.generate(), NodeKey.generate()
NOW, EXPIRY = 1_000_000.0, 2_000_000.0
COORDINATOR: tuple[Role, ...] = ("coordinator",)
GATEWAY: tuple[Role, ...] = ("gateway",)


def charter_text(*, founder: bool = False, root: RootKey = ROOT, node: NodeKey = NODE) -> str:
    charter = write_charter(root, node.node_id, COORDINATOR, EXPIRY, founder=founder)
    return encode_charter(charter)


def test_a_charter_survives_its_text_and_gives_its_role() -> None:
    charter = decode_charter(charter_text(founder=True))
    roles = check_charter(charter, mesh_id=ROOT.mesh_id, node_id=NODE.node_id, now_wall=NOW)
    assert roles == ("coordinator",)
    assert charter.founds


def test_the_right_to_found_cannot_be_forged() -> None:
    honest = decode_charter(charter_text())
    forged = replace(honest, founding=bytes(64))
    with pytest.raises(RecordRejected, match="forged"):
        check_charter(forged, mesh_id=ROOT.mesh_id, node_id=NODE.node_id, now_wall=NOW)


def test_a_coordinator_cannot_pass_on_the_right_to_found() -> None:
    chief = issue_grant(
        ROOT,
        mesh_id=ROOT.mesh_id,
        node_id=OTHER.node_id,
        roles=COORDINATOR,
        not_after=EXPIRY,
    )
    grant = issue_grant(
        OTHER,
        mesh_id=ROOT.mesh_id,
        node_id=NODE.node_id,
        roles=GATEWAY,
        not_after=EXPIRY,
        issuer=chief,
    )
    own = decode_charter(charter_text(founder=True))
    with pytest.raises(RecordRejected, match="forged"):
        check_charter(
            replace(own, grant=grant), mesh_id=ROOT.mesh_id, node_id=NODE.node_id, now_wall=NOW
        )


@pytest.mark.parametrize(
    "text", ["", "hello", charter_text()[:-9], charter_text() + "!", "x" * 9999]
)
def test_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(RecordRejected):
        decode_charter(text)


def test_only_the_first_coordinator_of_a_mesh_founds(tmp_path: Path) -> None:
    assert claim_founding(tmp_path, NODE.node_id) == NODE.node_id
    assert claim_founding(tmp_path, OTHER.node_id) == NODE.node_id
    assert claim_founding(tmp_path, NODE.node_id) == NODE.node_id


def test_an_expired_grant_is_a_note_and_no_role() -> None:
    standing = settle_standing(
        [charter_text(founder=True)],
        mesh_id=ROOT.mesh_id,
        node_id=NODE.node_id,
        now_wall=EXPIRY + 600,
    )
    assert standing.roles == () and not standing.founds and not standing.grants
    assert "expired" in standing.notes[0]
    assert take_roles(("worker", "coordinator"), standing) == ("worker",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (charter_text(root=RootKey.generate()), "another mesh"),
        (charter_text(node=OTHER), "another node"),
        ("electrons-grant-AAAA", "copy the whole line"),
    ],
)
def test_a_wrong_grant_stops_the_start_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settle_standing([text], mesh_id=ROOT.mesh_id, node_id=NODE.node_id, now_wall=NOW)


def test_clocks_ten_minutes_apart_do_not_matter() -> None:
    for skew in (-600.0, 600.0):
        standing = settle_standing(
            [charter_text()], mesh_id=ROOT.mesh_id, node_id=NODE.node_id, now_wall=NOW + skew
        )
        assert standing.roles == ("coordinator",)


def test_the_command_keeps_a_grant_in_the_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, data = str(tmp_path / "root"), tmp_path / "node"
    assert main(["mesh", "create", root]) == 0
    assert main(["mesh", "grant", root, "--data-dir", str(data)]) == 0
    assert "founds" in capsys.readouterr().out
    (line,) = read_charters(data)
    charter = decode_charter(line)
    standing = settle_standing(
        [line],
        mesh_id=charter.grant.mesh_id,
        node_id=NodeKey.load_or_create(data / "node.key").node_id,
        now_wall=time.time(),
    )
    assert standing.founds and standing.roles == ("admin", "coordinator")


@pytest.mark.parametrize(
    "words", [["grant", "{root}", "1234"], ["grant", "{root}"], ["grant", "/nonexistent", "a" * 40]]
)
def test_wrong_words_end_in_a_sentence(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(tmp_path / "root")
    assert main(["mesh", "create", root]) == 0
    assert main(["mesh", *(word.format(root=root) for word in words)]) in (1, 2)
    assert capsys.readouterr().err.startswith("electrons: ")
