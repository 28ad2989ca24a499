"""The flags of `electrons up` are fixed: other programs start nodes with them."""

from __future__ import annotations

import argparse

import pytest

from node.cli.setting_flags import add_setting_flags, raw_settings
from node.config import load_config

FLAGS = {
    "--data-dir", "--http", "--mesh", "--join", "--edge", "--network", "--no-mdns", "--roles",
    "--engine", "--model", "--demo-rate", "--slots", "--memory-cap", "--alias", "--access",
    "--json", "--grant", "--models-dir", "--no-assign", "--gpu-memory-cap", "--schedule",
    "--pause-on-battery", "--pause-on-gpu-use", "--reach", "--no-port-mapping",
    "--own-node", "--default-privacy",
    "--door", "--door-domain", "--proxy", "--public-door", "--public-name",
    "--public-url", "--relay-rate",
    "--tls-certificate", "--tls-key", "--no-punch",
}  # fmt: skip


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_setting_flags(parser)
    return parser


def test_the_flags_are_the_agreed_ones(parser: argparse.ArgumentParser) -> None:
    assert {option for a in parser._actions for option in a.option_strings} == {
        *FLAGS,
        "-h",
        "--help",
    }


def test_nothing_given_changes_nothing(parser: argparse.ArgumentParser) -> None:
    raw = raw_settings(parser.parse_args([]))
    assert set(raw.values()) == {None}
    environ = {"HOME": "/h"}
    assert load_config(raw, environ=environ) == load_config({}, environ=environ)


def test_everything_given_arrives(parser: argparse.ArgumentParser) -> None:
    words = (
        "--data-dir /d --http 127.0.0.1:0 --mesh [::1]:0 --join a:1 --join b:2 --edge http://e "
        "--edge http://f --network n --no-mdns --roles worker,storage --engine demo "
        "--engine http://g:1 --demo-rate 9.5 --slots 2 --memory-cap 1GiB --alias x=y --alias z=w "
        "--access keys --json --gpu-memory-cap 8GiB --schedule 22:00-7:00 --pause-on-battery "
        "--pause-on-gpu-use"
    )
    given = [*words.split(), "--schedule", "sat-sun 0:00-24:00"]
    config = load_config(raw_settings(parser.parse_args(given)), environ={})
    assert str(config.mesh) == "[::1]:0"
    assert [seed.url for seed in config.join] == ["tcp://a:1", "tcp://b:2"]
    assert config.edge == ("http://e", "http://f")
    assert (config.network, config.mdns, config.json_output) == ("n", False, True)
    assert config.roles == ("worker", "storage")
    assert config.engines == ("demo", "http://g:1")
    assert (config.demo_rate, config.slots, config.memory_cap) == (9.5, 2, 2**30)
    assert config.aliases == {"x": "y", "z": "w"}
    assert config.access == "keys"
    assert config.gpu_memory_cap == 8 * 2**30
    assert [window.text for window in config.schedule] == ["22:00-7:00", "sat-sun 0:00-24:00"]
    assert config.pause_on_battery
    assert config.pause_on_gpu_use
