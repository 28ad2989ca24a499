"""Everything a user may decide about a node: one frozen object, checked before a socket opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import PlainValidator, ValidationError, model_validator

from mesh.capability import Role
from mesh.errors import ConfigError
from node.config_addresses import (
    Address,
    parse_address,
    parse_engine,
    parse_origin,
)
from node.config_door import DoorSettings, check_door
from node.config_network import NetworkSettings
from node.config_outside import OutsideSettings
from node.config_privacy import PrivacySettings
from node.config_sources import (
    Given,
    default_data_dir,
    find_data_dir,
    find_file,
    read_environment,
    read_file,
)
from node.config_values import (
    SECRET,
    BadValue,
    optional,
    parse_aliases,
    parse_bool,
    parse_choice,
    parse_file,
    parse_float,
    parse_int,
    parse_key,
    parse_list,
    parse_path,
    parse_size,
)
from node.environment import environment
from node.membership import with_membership
from node.network import is_founded
from node.setting import setting
from services.schedule import Window, parse_window

Access = Literal["open", "keys"]
LogLevel = Literal["debug", "info", "warning", "error"]

BUILT_ROLES: tuple[Role, ...] = ("gateway", "worker", "coordinator", "relay")
"""Roles this release can take. Others are accepted in the configuration and not advertised."""


def parse_hours(raw: object) -> Window:
    """A window of local time, days before it where wanted."""
    if isinstance(raw, Window):
        return raw
    try:
        return parse_window(str(raw))
    except ValueError as error:
        raise BadValue(raw, str(error)) from None


class Config(NetworkSettings, PrivacySettings, DoorSettings, OutsideSettings):
    """One node's settings. Build it with `load_config`, which names the origin of a wrong value."""

    data_dir: Annotated[Path, PlainValidator(parse_path)] = setting(
        default_data_dir,
        "Folder of this node's identity and state. Two daemons never share one.",
        flag="--data-dir",
        metavar="DIR",
    )
    http: Annotated[Address, PlainValidator(parse_address)] = setting(
        Address("127.0.0.1", 7717),
        "Where the gateway, the console and the API listen; port 0 picks a free one. An address "
        "that other machines reach needs `access`.",
        flag="--http",
        metavar="HOST:PORT",
    )
    engines: Annotated[tuple[str, ...], PlainValidator(parse_list(parse_engine))] = setting(
        ("auto",),
        "What generates: auto finds engines on this machine and falls back on demo, demo is the "
        "small model in the package, llama runs `model_file` in this process, a URL names an "
        "engine that speaks the OpenAI or the Ollama protocol, none runs nothing.",
        flag="--engine",
        metavar="demo|none|auto|llama|URL",
        cost="Each engine is probed every few seconds.",
    )
    model_file: Annotated[Path | None, PlainValidator(optional(parse_file))] = setting(
        None,
        "A GGUF file for the llama engine.",
        flag="--model",
        metavar="FILE.gguf",
        cost="Its size in memory, and more for every slot.",
    )
    demo_rate: Annotated[float | None, PlainValidator(optional(parse_float(0.1, 100_000)))] = (
        setting(
            None,
            "Paces the demo engine. Not set: as fast as it goes.",
            flag="--demo-rate",
            metavar="N",
            unit="tokens per second and job",
        )
    )
    slots: Annotated[int | None, PlainValidator(optional(parse_int(1, 4096)))] = setting(
        None,
        "Jobs that run at the same time. Not set: what the engine says.",
        flag="--slots",
        metavar="N",
        unit="jobs",
        cost="Each running job slows the others and holds memory for its context.",
    )
    memory_cap: Annotated[int | None, PlainValidator(optional(parse_size))] = setting(
        None,
        "Memory that the engines inside this process may take. Not set: what the machine has.",
        flag="--memory-cap",
        metavar="SIZE",
        unit="bytes, or with a suffix: 4GiB",
        cost="That memory is not there for others.",
    )
    gpu_memory_cap: Annotated[int | None, PlainValidator(optional(parse_size))] = setting(
        None,
        "Memory of all graphics cards together that this node and its engines may hold; above it "
        "no new job is taken. Not set: what the cards have.",
        flag="--gpu-memory-cap",
        metavar="SIZE",
        unit="bytes, or with a suffix: 8GiB",
        cost="That memory is not there for games and others.",
    )
    schedule: Annotated[tuple[Window, ...], PlainValidator(parse_list(parse_hours))] = setting(
        (),
        "Hours of local time in which jobs are taken: '22:00-07:00', with days where wanted: "
        "'sat-sun 00:00-24:00'. A window belongs to the day it begins on. Not set: always.",
        flag="--schedule",
        metavar="[DAYS ]HH:MM-HH:MM",
    )
    pause_on_battery: Annotated[bool, PlainValidator(parse_bool)] = setting(
        False,
        "Take no jobs while the machine runs on battery.",
        flag="--pause-on-battery",
    )
    pause_on_gpu_use: Annotated[bool, PlainValidator(parse_bool)] = setting(
        False,
        "Take no jobs while a program that is not one of this node's engines keeps a graphics card "
        "busy, and for 30 seconds after.",
        flag="--pause-on-gpu-use",
        cost="The cards are asked every second.",
    )
    models_dir: Annotated[Path | None, PlainValidator(optional(parse_path))] = setting(
        None,
        "Folder of GGUF files that the mesh's coordinators may have served here, with the llama "
        "engine. Names from elsewhere are only looked up among these files.",
        flag="--models-dir",
        metavar="DIR",
        cost="The start of every file is read at start; what runs takes memory.",
    )
    assignable: Annotated[bool, PlainValidator(parse_bool)] = setting(
        True,
        "Let the mesh's coordinators start and stop models on this node, within its limits. What "
        "`engines` names is never touched.",
        flag="--no-assign",
        cost="A coordinator decides which of the models held here take memory.",
    )
    aliases: Annotated[Mapping[str, str], PlainValidator(parse_aliases)] = setting(
        lambda: MappingProxyType({}),
        "Other names for models: a client that asks for the first gets the second.",
        flag="--alias",
        metavar="ALIAS=MODEL",
    )
    access: Annotated[Access | None, PlainValidator(optional(parse_choice(get_args(Access))))] = (
        setting(
            None,
            "Who may use the HTTP port: open is everybody who can reach it, keys is who presents "
            "one of `api_keys`. Not set: programs on this machine only.",
            flag="--access",
            metavar="open|keys",
            cost="With open, strangers use this node's engines and its place in the mesh.",
        )
    )
    api_keys: Annotated[tuple[str, ...], PlainValidator(parse_list(parse_key))] = setting(
        (),
        "Digests (`sha256:...`) of the keys that callers may present; the environment variable "
        "takes the keys themselves.",
        unit="SHA-256 digests",
    )
    cors_origins: Annotated[tuple[str, ...], PlainValidator(parse_list(parse_origin))] = setting(
        (),
        "Origins whose web pages may call the API from a browser; * is every page.",
        cost="With *, every page that a user of this machine visits can call the node.",
    )
    queue_limit: Annotated[int, PlainValidator(parse_int(0, 100_000))] = setting(
        64,
        "Jobs that may wait at this worker; more are refused and go to another one.",
        unit="jobs",
        cost="Longer waits, and up to 64 KiB of memory for each waiting job.",
    )
    deadline_seconds: Annotated[float, PlainValidator(parse_float(0.1, 3600))] = setting(
        30.0,
        "How long a request may wait for its first byte before it is answered `overloaded`.",
        unit="seconds",
        cost="Clients wait longer for a refusal, and more of them at once.",
    )
    log_level: Annotated[LogLevel, PlainValidator(parse_choice(get_args(LogLevel)))] = setting(
        "info",
        "Least urgent messages that reach standard error: debug, info, warning, error.",
        cost="Debug writes several lines a request.",
    )
    json_output: Annotated[bool, PlainValidator(parse_bool)] = setting(
        False,
        "The first line on standard output is one JSON object instead of a banner.",
        flag="--json",
    )

    @property
    def built_roles(self) -> tuple[Role, ...]:
        """The roles that are taken and advertised."""
        return tuple(role for role in self.roles if role in BUILT_ROLES)

    @property
    def unbuilt_roles(self) -> tuple[Role, ...]:
        """The roles that were asked for and that this release cannot take."""
        return tuple(role for role in self.roles if role not in BUILT_ROLES)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.access is None and not self.http.is_loopback:
            raise BadValue(
                str(self.http),
                "other machines can reach this address, so say who may use it: --access open lets "
                "in everybody who can reach it, --access keys only who presents one of api_keys",
                setting="http",
            )
        if not self.roles:
            raise BadValue("", f"give one or more of {', '.join(get_args(Role))}", setting="roles")
        check_door(self, access=self.access, founded=is_founded(self.network))
        self._check_engines()
        return self

    def _check_engines(self) -> None:
        if not self.engines:
            raise BadValue("", "give none to run no engine", setting="engines")
        if "none" in self.engines and len(self.engines) > 1:
            raise BadValue(",".join(self.engines), "none stands alone", setting="engines")
        if "llama" in self.engines and self.model_file is None:
            raise BadValue("llama", "it needs --model FILE.gguf (model_file)", setting="engines")
        if self.model_file is not None and "llama" not in self.engines:
            allowed = "it is for the llama engine; add --engine llama (engines)"
            raise BadValue(str(self.model_file), allowed, setting="model_file")


SETTINGS: tuple[str, ...] = tuple(Config.model_fields)
SECRETS = ("api_keys", "proxy")


def load_config(
    flags: Mapping[str, Any], *, file: str | None = None, environ: Mapping[str, str] | None = None
) -> Config:
    """Defaults, then the mesh that was joined by a ticket, then the file, then the environment,
    then flags; each replaces what was before.

    `flags` maps field names to raw values, None for flags that were not given; `file` is --config.
    Raises ConfigError, which names the wrong setting as the user wrote it.
    """
    environ = environment() if environ is None else environ
    given = {name: Given(raw, flag_of(name)) for name, raw in flags.items() if raw is not None}
    given = read_environment(SETTINGS, environ) | given
    data_dir = find_data_dir(flags.get("data_dir"), environ)
    found = find_file(file, data_dir, environ)
    if found is not None:
        given = read_file(found, SETTINGS, data_dir) | given
    if "data_dir" not in given:
        given["data_dir"] = Given(data_dir, flag_of("data_dir"))
    return _check(with_membership(given))


def flag_of(name: str) -> str:
    """The flag of a setting, or the setting's own name when it has none."""
    return extras_of(name)["flag"] or name


def extras_of(name: str) -> dict[str, str]:
    """What the reference and the command line say of a setting: flag, metavar, unit, cost."""
    return cast(dict[str, str], Config.model_fields[name].json_schema_extra)


def _check(given: Mapping[str, Given]) -> Config:
    try:
        return Config(**{name: value.value for name, value in given.items()})
    except ValidationError as error:
        first = error.errors()[0]
        reason = first.get("ctx", {}).get("error")
        location = str(first["loc"][0]) if first["loc"] else ""
    if not isinstance(reason, BadValue):
        raise ConfigError(location, "", "it is not a setting")
    name = reason.setting or location
    origin = given[name].origin if name in given else flag_of(name)
    raise ConfigError(origin, SECRET if name in SECRETS else reason.value, reason.allowed)
