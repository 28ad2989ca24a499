"""The flags of a running node are read from its own command line."""

from __future__ import annotations

import pytest

from node.doctor.intake import flags_of


@pytest.mark.parametrize(
    "command",
    [
        "/venv/bin/electrons up --engine none --join 192.0.2.1:7718 --no-mdns",
        "/venv/bin/python -m node.cli.main up --no-mdns --join 192.0.2.1:7718 --engine none",
        "electrons join electrons-ticket-abc --engine none --join 192.0.2.1:7718 --no-mdns",
        "electrons join --engine none --join 192.0.2.1:7718 --no-mdns electrons-ticket-abc",
    ],
)
def test_flags_are_found_however_the_node_was_started(command: str) -> None:
    found = flags_of(command)
    assert found is not None
    settings, file = found
    told = {name: value for name, value in settings.items() if value is not None}
    assert told == {"engines": ["none"], "join": ["192.0.2.1:7718"], "mdns": False}
    assert file is None


def test_the_file_of_settings_is_found() -> None:
    found = flags_of("electrons up --config '/my place/config.toml'")
    assert found is not None
    assert found[1] == "/my place/config.toml"


@pytest.mark.parametrize("command", ["", "electrons", "a 'b", "electrons up --what"])
def test_what_cannot_be_read_is_left_alone(command: str) -> None:
    assert flags_of(command) is None
