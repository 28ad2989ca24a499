"""What `electrons door` says."""

from __future__ import annotations

from node.cli.door import door_rows

HELD = {
    "url": "https://alice.mesh.example",
    "keeper": "ab" * 20,
    "fingerprint": "00:11",
    "self_signed": True,
    "connections": 3,
    "reason": "",
}
KEPT = {"port": 443, "domain": "mesh.example", "names": 2, "connections": 1, "waiting": 0}


def test_a_node_without_doors_says_nothing() -> None:
    assert list(door_rows({"held": None, "kept": None})) == []
    assert list(door_rows({})) == []


def test_an_open_door_tells_what_to_compare() -> None:
    rows = dict(door_rows({"held": HELD, "kept": None}))
    assert rows["public door"] == "https://alice.mesh.example"
    assert "00:11" in str(rows["certificate"])
    assert "self-signed" in str(rows["certificate"])
    assert "yours" in str(dict(door_rows({"held": {**HELD, "self_signed": False}}))["certificate"])


def test_a_closed_door_says_why() -> None:
    held = {**HELD, "url": "", "reason": "another node holds that name"}
    assert list(door_rows({"held": held})) == [
        ("public door", "closed: another node holds that name")
    ]


def test_a_keeper_tells_its_load() -> None:
    rows = dict(door_rows({"held": None, "kept": KEPT}))
    assert rows["keeps a door"] == "port 443 for *.mesh.example"
    assert rows["passing"] == "1 connections, 0 waiting"
