"""Collects settings from the file, the environment and the flags, each with its origin.

Free of pydantic: commands that merely look for a running daemon start faster without it.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.errors import ConfigError
from node.config_values import BadValue, closest, digest_key, parse_path
from node.environment import PREFIX, environment

FILE_NAME = "config.toml"
MAX_FILE_BYTES = 1 << 20
"""A configuration of a megabyte is some other file given by mistake."""


@dataclass(frozen=True, slots=True)
class Given:
    """A raw value and where it came from, in the user's own words: a flag, a variable, a key."""

    value: Any
    origin: str


def default_data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Where the data folder is when nobody says: the platform's place for a user's data."""
    environ = environment() if environ is None else environ
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if sys.platform == "win32" and environ.get("LOCALAPPDATA"):
        return Path(environ["LOCALAPPDATA"]) / "electrons"
    if sys.platform != "darwin" and Path(environ.get("XDG_DATA_HOME", "")).is_absolute():
        return Path(environ["XDG_DATA_HOME"]) / "electrons"
    if not home:
        raise ConfigError("--data-dir", None, "this user has no home folder; give a path")
    if sys.platform == "darwin":
        return Path(home) / "Library" / "Application Support" / "electrons"
    return Path(home) / ".local" / "share" / "electrons"


def find_data_dir(flag: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """The data folder by flag, else by environment, else the default. Raises ConfigError."""
    environ = environment() if environ is None else environ
    variable = f"{PREFIX}DATA_DIR"
    for raw, origin in ((flag, "--data-dir"), (environ.get(variable) or None, variable)):
        if raw is not None:
            try:
                return parse_path(raw)
            except BadValue as error:
                raise ConfigError(origin, error.value, error.allowed) from None
    return default_data_dir(environ)


def read_environment(known: Iterable[str], environ: Mapping[str, str]) -> dict[str, Given]:
    """Settings from ELECTRONS_<NAME>. Empty ones count as not given.

    Others that begin with ELECTRONS_ are left alone: container platforms inject such names for a
    service that is called "electrons".
    """
    given: dict[str, Given] = {}
    for name in known:
        variable = PREFIX + name.upper()
        value: Any = environ.get(variable, "")
        if value and name == "api_keys":
            value = [_digest_plain(key.strip()) for key in value.split(",") if key.strip()]
        if value:
            given[name] = Given(value, variable)
    return given


def find_file(flag: str | None, data_dir: Path, environ: Mapping[str, str]) -> Given | None:
    """The file to read: --config, else ELECTRONS_CONFIG, else config.toml in the data folder."""
    variable = f"{PREFIX}CONFIG"
    for raw, origin in ((flag, "--config"), (environ.get(variable) or None, variable)):
        if raw is not None:
            try:
                return Given(parse_path(raw), origin)
            except BadValue as error:
                raise ConfigError(origin, error.value, error.allowed) from None
    implicit = data_dir / FILE_NAME
    return Given(implicit, str(implicit)) if implicit.exists() else None


def read_file(file: Given, known: Iterable[str], data_dir: Path) -> dict[str, Given]:
    """Settings from a TOML file. Raises ConfigError on unknown keys, naming the closest one."""
    known = tuple(known)
    table = _load_toml(file)
    if "data_dir" in table and Path(file.value).parent == data_dir:
        allowed = "a file in the data folder cannot move it; use --data-dir or ELECTRONS_DATA_DIR"
        raise ConfigError(f"{file.value}: data_dir", table["data_dir"], allowed)
    for key in table:
        if key not in known:
            hint = closest(key, known)
            near = f"did you mean {hint}?" if hint else f"known keys are {', '.join(sorted(known))}"
            raise ConfigError(f"{file.value}: {key}", table[key], f"there is no such key; {near}")
    return {key: Given(value, f"{file.value}: {key}") for key, value in table.items()}


def _load_toml(file: Given) -> dict[str, Any]:
    try:
        with Path(file.value).open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(file.origin, str(file.value), "a configuration file is at most 1 MiB")
        return tomllib.loads(data.decode())
    except OSError as error:
        reason = f"the file cannot be read ({error.strerror or error})"
        raise ConfigError(file.origin, str(file.value), reason) from None
    except ValueError as error:
        raise ConfigError(file.origin, str(file.value), f"it is not TOML: {error}") from None


def _digest_plain(key: str) -> str:
    return key if key.startswith("sha256:") else digest_key(key)
