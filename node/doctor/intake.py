"""Gathers what is known before any check: folder, settings, and the running node's own answer."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dht.join_address import JoinAddress
from mesh.errors import ElectronsError, StorageError
from mesh.storage.lock import is_locked
from mesh.storage.run_file import RunInfo, read_run_file
from node.cli.client import Api
from node.cli.setting_flags import add_setting_flags, raw_settings
from node.config import Config, load_config
from node.config_sources import find_data_dir, find_file
from node.doctor.patient import Instruments, Patient

NOT_FOR_NODES = {"data_dir", "json_output"}
"""Flags that say which node, and how to tell what is found; not what to examine it with."""

STARTERS = ("up", "join")
"""Commands that run a node; `join` is followed by a ticket, which is not looked at."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user said on the command line."""

    settings: Mapping[str, Any]
    """Raw values by name; None where nothing was given."""
    file: str | None = None
    named: tuple[JoinAddress, ...] = ()
    udp: str = ""


def admit(asked: Asked, environ: Mapping[str, str], look: Instruments | None = None) -> Patient:
    """The patient. Blocks for one question to a node on this machine. Raises ConfigError when not
    even the data folder can be told."""
    data_dir = find_data_dir(asked.settings.get("data_dir"), environ)
    held = _held(data_dir)
    info, answer_error = _run_info(data_dir) if held else (None, "")
    answer: Mapping[str, Any] | None = None
    if info is not None:
        answer, answer_error = _ask_node(info)
    settings, file, of_daemon = _settings(asked, info)
    config, error = _load(settings, file, environ, data_dir)
    return Patient(
        data_dir=data_dir,
        config=config,
        settings_error=error,
        settings_file=_settings_file(file, data_dir, environ),
        settings_of_daemon=of_daemon,
        held=held,
        run_info=info,
        answer=answer,
        answer_error=answer_error,
        environ=environ,
        named=asked.named,
        udp=asked.udp,
        instruments=look or Instruments(),
    )


def flags_of(command: str) -> tuple[dict[str, Any], str | None] | None:
    """Settings and --config that a running node was started with; None when they cannot be read."""
    try:
        words = shlex.split(command)
        start = min(words.index(verb) for verb in STARTERS if verb in words)
    except ValueError:
        return None
    parser = _QuietParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    parser.add_argument("ticket", nargs="?")
    add_setting_flags(parser)
    try:
        args = parser.parse_args(words[start + 1 :])
    except ValueError:
        return None
    return raw_settings(args), args.config


class _QuietParser(argparse.ArgumentParser):
    """Raises ValueError where the usual one ends the program."""

    def error(self, message: str) -> Any:
        raise ValueError(message)


def _settings(asked: Asked, info: RunInfo | None) -> tuple[Mapping[str, Any], str | None, bool]:
    """The user's own flags; without any, those of the node that runs."""
    given = {name for name, value in asked.settings.items() if value is not None} - NOT_FOR_NODES
    if info is None or given or asked.file is not None:
        return asked.settings, asked.file, False
    found = flags_of(info.command)
    if found is None:
        return asked.settings, None, False
    settings, file = found
    return {**settings, "data_dir": asked.settings.get("data_dir")}, file, True


def _load(
    settings: Mapping[str, Any], file: str | None, environ: Mapping[str, str], data_dir: Path
) -> tuple[Config | None, str]:
    try:
        return load_config({**settings, "data_dir": str(data_dir)}, file=file, environ=environ), ""
    except ElectronsError as error:
        return None, str(error)


def _settings_file(file: str | None, data_dir: Path, environ: Mapping[str, str]) -> Path | None:
    try:
        found = find_file(file, data_dir, environ)
    except ElectronsError:
        return None
    return Path(found.value) if found is not None else None


def _held(data_dir: Path) -> bool | None:
    try:
        return is_locked(data_dir)
    except StorageError:
        return None


def _run_info(data_dir: Path) -> tuple[RunInfo | None, str]:
    try:
        return read_run_file(data_dir), ""
    except StorageError as error:
        return None, str(error)


def _ask_node(info: RunInfo) -> tuple[Mapping[str, Any] | None, str]:
    try:
        answer = Api(info.url, info.token).get("/api/node")
    except ElectronsError as error:
        return None, str(error)
    return (answer, "") if isinstance(answer, dict) else (None, "the answer is no JSON object")


def secrets_of(patient: Patient, settings: Sequence[str] = ()) -> tuple[str, ...]:
    """Values that must not be told to anybody: the token, grants, keys, proxies' passwords."""
    found = [*settings]
    if patient.run_info is not None:
        found.append(patient.run_info.token)
    if patient.config is not None:
        found += [*patient.config.grants, *patient.config.api_keys]
    return tuple(secret for secret in found if secret)
