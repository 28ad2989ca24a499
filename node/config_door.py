"""Settings of public doors: keeping one for others, and having a name at another node's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainValidator

from mesh.ids import NodeId
from node.config_addresses import Address, parse_address
from node.config_values import BadValue, optional
from node.setting import setting

AUTO: Literal["auto"] = "auto"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"({_LABEL}(?:\.{_LABEL})+)(?::(\d{{1,5}}))?")
_NODE_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Domain:
    """What names at a door end in."""

    name: str
    port: int | None = None
    """Where browsers reach the door; None: where it listens."""

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


def parse_domain(raw: object) -> Domain:
    """DOMAIN[:PORT]."""
    if isinstance(raw, Domain):
        return raw
    found = _DOMAIN.fullmatch(raw.strip().lower()) if isinstance(raw, str) else None
    port = int(found[2]) if found is not None and found[2] else None
    # A label and a dot come before it, and a host name has 253 characters (RFC 1035 2.3.4).
    if found is None or len(found[1]) > 253 - 64 or port == 0 or (port or 0) > 65535:
        raise BadValue(raw, "give a domain such as mesh.example.org, with :PORT where it differs")
    return Domain(found[1], port)


def parse_keeper(raw: object) -> NodeId | Literal["auto"]:
    """auto, or the id of the node that keeps the door."""
    text = raw.strip() if isinstance(raw, str) else raw
    if text == AUTO:
        return AUTO
    if isinstance(text, str) and _NODE_ID.fullmatch(text):
        return NodeId(text)
    raise BadValue(raw, "give auto, or the 40 hex digits of the id of the node that keeps the door")


def parse_label(raw: object) -> str:
    """One label of a host name."""
    text = raw.strip().lower() if isinstance(raw, str) else ""
    if not re.fullmatch(_LABEL, text):
        raise BadValue(raw, "give 1 to 63 of a-z, 0-9 and '-', with no '-' first or last")
    return text


class DoorSettings(BaseModel):
    """The part of `node.config.Config` that is about public doors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    door: Annotated[Address | None, PlainValidator(optional(parse_address))] = setting(
        None,
        "Keep a public door: take https connections here and pass them, unread, to the nodes of "
        "the mesh that hold the wanted names. In a founded mesh it takes the role `relay`.",
        flag="--door",
        metavar="HOST:PORT",
        cost="Whoever comes to other nodes' names uses this machine's network.",
    )
    door_domain: Annotated[Domain | None, PlainValidator(optional(parse_domain))] = setting(
        None,
        "What the names at `door` end in: *.DOMAIN has to lead to this machine in the DNS. With "
        ":PORT where browsers reach the door under another port than it listens on.",
        flag="--door-domain",
        metavar="DOMAIN[:PORT]",
        cost="Who holds a name under your domain is believed to act for you.",
    )
    public_door: Annotated[
        NodeId | Literal["auto"] | None, PlainValidator(optional(parse_keeper))
    ] = setting(
        None,
        "Make this node's HTTP port reachable from anywhere under an https name, by a node that "
        "keeps a door: the one with this id, or with auto any that a founded mesh granted the role "
        "`relay`. Not set: no name.",
        flag="--public-door",
        metavar="auto|NODE_ID",
        cost="Everybody on the Internet can try this node's API keys.",
    )
    public_name: Annotated[str, PlainValidator(lambda raw: raw and parse_label(raw))] = setting(
        "",
        "The first label of the public name. Not set: the first 16 hex digits of the node's id, "
        "which nobody else can have.",
        flag="--public-name",
        metavar="LABEL",
    )


def check_door(settings: DoorSettings, *, access: str | None, founded: bool) -> None:
    """What the settings of doors ask of each other and of the rest. Raises BadValue."""
    if settings.door is not None and settings.door_domain is None:
        allowed = "say what its names end in as well: --door-domain DOMAIN (door_domain)"
        raise BadValue(str(settings.door), allowed, setting="door")
    if settings.door is None and settings.door_domain is not None:
        allowed = "it is for a door: add --door HOST:PORT (door)"
        raise BadValue(str(settings.door_domain), allowed, setting="door_domain")
    if settings.public_door is None:
        if settings.public_name:
            allowed = "it is for a public door: add --public-door auto|NODE_ID (public_door)"
            raise BadValue(settings.public_name, allowed, setting="public_name")
        return
    if access is None:
        raise BadValue(
            settings.public_door,
            "everybody on the Internet can come to a public door, so say who may use the node: "
            "--access keys lets in who presents one of api_keys, --access open everybody",
            setting="public_door",
        )
    if settings.public_door == AUTO and not founded:
        allowed = "nobody is granted anything in an open mesh: give the id of a node that you trust"
        raise BadValue(AUTO, allowed, setting="public_door")
