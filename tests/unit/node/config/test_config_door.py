"""Which settings of public doors go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError
from node.config import Config, load_config
from node.config_door import Domain

KEEPER = "ab" * 20
FOUNDED = "0123456789" * 4


def load(folder: Path, **flags: Any) -> Config:
    return load_config({"data_dir": str(folder), **flags}, environ={})


def test_no_door_is_the_default(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.door, config.public_door, config.public_name) == (None, None, "")


def test_a_door_has_a_domain_and_perhaps_another_port(tmp_path: Path) -> None:
    config = load(tmp_path, door="0.0.0.0:8443", door_domain="Mesh.Example.org:443")
    assert str(config.door) == "0.0.0.0:8443"
    assert config.door_domain == Domain("mesh.example.org", 443)


def test_a_public_door_needs_a_word_about_access(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="say who may use the node"):
        load(tmp_path, public_door=KEEPER)
    assert load(tmp_path, public_door=KEEPER, access="keys").public_door == KEEPER


def test_nobody_is_found_by_grant_in_an_open_mesh(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="open mesh"):
        load(tmp_path, public_door="auto", access="keys", network="friends")
    assert load(tmp_path, public_door="auto", access="keys", network=FOUNDED).public_door == "auto"


@pytest.mark.parametrize(
    "flags",
    [
        {"door": "0.0.0.0:443"},
        {"door_domain": "mesh.example"},
        {"door": "0.0.0.0:443", "door_domain": "mesh"},
        {"door": "0.0.0.0:443", "door_domain": "mesh.example:0"},
        {"door": "0.0.0.0:443", "door_domain": "-a.example"},
        {"door": "0.0.0.0:443", "door_domain": ".".join(["a" * 63] * 3)},
        {"public_name": "alice"},
        {"public_door": "alice", "access": "keys"},
        {"public_door": KEEPER, "access": "keys", "public_name": "a.b"},
        {"public_door": KEEPER, "access": "keys", "public_name": "-a"},
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, flags: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, **flags)
