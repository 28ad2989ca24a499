"""Where settings come from, what replaces what, and how a wrong one is named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dht.join_address import JoinAddress
from mesh.errors import ConfigError
from node.config import Config, load_config
from node.config_addresses import Address
from node.config_sources import default_data_dir, find_data_dir
from node.config_values import digest_key


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing but the home folder is set."""
    return {"HOME": str(tmp_path)}


def write_config(home: Mapping[str, str], text: str) -> Path:
    folder = default_data_dir(home)
    folder.mkdir(parents=True)
    path = folder / "config.toml"
    path.write_text(text)
    return path


def sentence(flags: Mapping[str, Any], environ: Mapping[str, str], **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(flags, environ=environ, **more)
    return str(caught.value)


def test_the_defaults_are_private_to_this_machine(home: dict[str, str]) -> None:
    config = load_config({}, environ=home)
    assert config.http == Address("127.0.0.1", 7717)
    assert config.mesh == Address("0.0.0.0", 7718)
    assert config.access is None
    assert config.built_roles == ("gateway", "worker")
    assert config.unbuilt_roles == ()
    assert config.engines == ("auto",)
    assert config.data_dir == Path(home["HOME"], ".local/share/electrons")


def test_each_source_replaces_the_ones_before(home: dict[str, str]) -> None:
    write_config(home, 'http = "127.0.0.1:1"\nslots = 1\nqueue_limit = 1\njoin = ["a:1", "b:1"]')
    environ = {**home, "ELECTRONS_SLOTS": "2", "ELECTRONS_QUEUE_LIMIT": "2", "ELECTRONS_MDNS": "no"}
    config = load_config({"queue_limit": "3", "join": ["c:1"]}, environ=environ)
    assert config.http.port == 1
    assert config.slots == 2
    assert config.queue_limit == 3
    assert config.join == (JoinAddress("tcp://c:1"),)
    assert config.mdns is False


def test_a_config_cannot_be_changed(home: dict[str, str]) -> None:
    config = load_config({"aliases": ["a=b"]}, environ=home)
    with pytest.raises(ValidationError):
        config.slots = 3
    with pytest.raises(TypeError):
        config.aliases["c"] = "d"  # type: ignore[index]
    with pytest.raises(ValidationError):
        Config(slot=3)  # type: ignore[call-arg]


def test_a_wrong_flag_is_named_as_it_was_written(home: dict[str, str]) -> None:
    words = sentence({"engines": ["demo", "ollama"]}, home)
    assert words == (
        "--engine: 'ollama' is not usable; give demo, none, auto, llama or a URL such as "
        "http://127.0.0.1:11434"
    )


def test_a_wrong_variable_is_named_as_it_was_written(home: dict[str, str]) -> None:
    words = sentence({}, {**home, "ELECTRONS_DEADLINE_SECONDS": "soon"})
    assert words.startswith("ELECTRONS_DEADLINE_SECONDS: 'soon' is not usable; give a number")


def test_a_wrong_key_is_named_with_its_file(home: dict[str, str]) -> None:
    path = write_config(home, "slots = 0")
    assert sentence({}, home).startswith(f"{path}: slots: 0 is not usable; give a whole number")


def test_an_unknown_key_is_an_error_with_the_closest_name(home: dict[str, str]) -> None:
    path = write_config(home, "slot = 4")
    assert sentence({}, home) == (
        f"{path}: slot: 4 is not usable; there is no such key; did you mean slots?"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [("slots = ", "it is not TOML"), ("\udcff", "it is not TOML"), ("#" * (1 << 20 | 1), "1 MiB")],
)
def test_an_unreadable_file_is_one_sentence(home: dict[str, str], text: str, words: str) -> None:
    folder = default_data_dir(home)
    folder.mkdir(parents=True)
    (folder / "config.toml").write_bytes(os.fsencode(text))
    assert words in sentence({}, home)


def test_a_missing_file_is_an_error_only_when_it_was_asked_for(home: dict[str, str]) -> None:
    load_config({}, environ=home)
    assert sentence({}, home, file="/nowhere.toml").startswith("--config: '/nowhere.toml' is not")
    words = sentence({}, {**home, "ELECTRONS_CONFIG": "/nowhere.toml"})
    assert words.startswith("ELECTRONS_CONFIG: '/nowhere.toml' is not usable; the file cannot be")


def test_a_file_elsewhere_may_name_the_data_folder(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"')
    assert load_config({}, file=str(file), environ=home).data_dir == tmp_path / "data"
    assert load_config({"data_dir": "/x"}, file=str(file), environ=home).data_dir == Path("/x")


def test_a_file_in_the_data_folder_cannot_move_it(home: dict[str, str]) -> None:
    write_config(home, 'data_dir = "/elsewhere"')
    assert "cannot move it" in sentence({}, home)


@pytest.mark.parametrize("http", ["0.0.0.0:7717", "[::]:7717", "192.168.1.2:80", "node.lan:80"])
def test_an_open_address_needs_a_word_about_access(home: dict[str, str], http: str) -> None:
    words = sentence({"http": http}, home)
    assert words.startswith(f"--http: '{http}' is not usable; other machines can reach this")
    assert "--access open" in words
    assert "--access keys" in words
    assert load_config({"http": http, "access": "keys"}, environ=home).access == "keys"


def test_plain_keys_from_the_environment_become_digests(home: dict[str, str]) -> None:
    config = load_config({}, environ={**home, "ELECTRONS_API_KEYS": f"k1, {digest_key('k2')}"})
    assert config.api_keys == (digest_key("k1"), digest_key("k2"))
    assert "k1" not in repr(config)


def test_a_plain_key_in_the_file_is_refused_and_not_shown(home: dict[str, str]) -> None:
    write_config(home, 'api_keys = ["hunter2"]')
    words = sentence({}, home)
    assert "sha256sum" in words
    assert "hunter2" not in words


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"engines": ["none", "demo"]}, "--engine: 'none,demo' is not usable; none stands alone"),
        ({"engines": ["llama"]}, "--engine: 'llama' is not usable; it needs --model FILE.gguf"),
        ({"engines": [""]}, "--engine: '' is not usable"),
        ({"roles": ""}, "--roles: '' is not usable; give one or more of"),
        ({"roles": "worker,workr"}, "near: worker"),
        ({"model_file": "/nowhere.gguf"}, "--model: '/nowhere.gguf' is not usable; there is no"),
        ({"join": ["abc@host:1"]}, "--join: 'abc@host:1' is not usable; a node id is 40"),
        ({"access": "all"}, "--access: 'all' is not usable; give open or keys"),
        ({"data_dir": ""}, "--data-dir: '' is not usable; give a path"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    home: dict[str, str], flags: dict[str, Any], words: str
) -> None:
    assert words in sentence(flags, home)


def test_a_model_file_is_for_llama_only(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.touch()
    assert "add --engine llama" in sentence({"model_file": str(file)}, home)
    flags = {"model_file": str(file), "engines": ["llama"]}
    assert load_config(flags, environ=home).model_file == file


def test_unbuilt_roles_are_accepted_and_kept_apart(home: dict[str, str]) -> None:
    config = load_config({"roles": "gateway,storage,relay,coordinator"}, environ=home)
    assert config.built_roles == ("gateway", "relay", "coordinator")
    assert config.unbuilt_roles == ("storage",)


def test_the_default_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_data_dir({"XDG_DATA_HOME": "/d", "HOME": "/h"}) == Path("/d/electrons")
    assert default_data_dir({"XDG_DATA_HOME": "rel", "HOME": "/h"}) == Path(
        "/h/.local/share/electrons"
    )
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_data_dir({"HOME": "/h"}) == Path("/h/Library/Application Support/electrons")
    monkeypatch.setattr("sys.platform", "win32")
    assert default_data_dir({"LOCALAPPDATA": "/l"}) == Path("/l/electrons")


def test_a_user_without_a_home_is_told_what_to_do() -> None:
    with pytest.raises(ConfigError, match="--data-dir: None is not usable; this user has no home"):
        default_data_dir({})


def test_the_data_folder_is_found_without_reading_the_file() -> None:
    environ = {"HOME": "/h", "ELECTRONS_DATA_DIR": "/e"}
    assert find_data_dir("/f", environ) == Path("/f")
    assert find_data_dir(None, environ) == Path("/e")


def test_nothing_else_in_the_environment_matters(home: dict[str, str]) -> None:
    noise = {**home, "ELECTRONS_PORT": "tcp://10.0.0.1:80", "ELECTRONS_HTTP": ""}
    assert load_config({}, environ=noise) == load_config({}, environ=home)
