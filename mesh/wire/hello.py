"""Hello: what each end of a link says of itself once both have proved who they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from mesh.capability import Role
from mesh.errors import WireError
from mesh.identity.boot import MAX_BOOTS
from mesh.identity.keys import PUBLIC_KEY_SIZE
from mesh.ids import MeshId, NodeId, node_id_of

MAX_VERSIONS = 8
MAX_GRANTS = 4
MAX_GRANT_SIZE = 1024
MAX_ADDRESSES = 16
MAX_ADDRESS = 256
MAX_SOFTWARE = 64
MAX_ROLES = 16
_ROLES: frozenset[str] = frozenset(get_args(Role))


@dataclass(frozen=True, slots=True)
class Hello:
    """One node as it introduces itself. `public_key` is proved; the rest is claimed."""

    mesh_id: MeshId
    public_key: bytes
    boot_counter: int
    boot_id: str
    versions: tuple[int, ...]
    roles: tuple[Role, ...] = ()
    grants: tuple[bytes, ...] = ()
    """Encoded `mesh.identity.grants.Grant`s."""
    addresses: tuple[str, ...] = ()
    """URLs under which the node accepts links."""
    software: str = ""
    link_number: int = 0
    """Rises with every link the node makes in this boot; tells two links apart at both ends."""
    linked: bool = False
    """The node already holds a link to the one it speaks to."""
    applies: bool = False
    """The dialler wants to be admitted to the mesh: the link carries ADMISSION streams only."""

    @property
    def node_id(self) -> NodeId:
        return node_id_of(self.public_key)


def hello_fields(hello: Hello) -> dict[str, Any]:
    """The map of a HELLO frame."""
    return {
        "versions": list(hello.versions),
        "mesh": hello.mesh_id,
        "key": hello.public_key,
        "boot": hello.boot_counter,
        "boot_id": hello.boot_id,
        "roles": list(hello.roles[:MAX_ROLES]),
        "grants": list(hello.grants[:MAX_GRANTS]),
        "addresses": [a for a in hello.addresses if len(a) <= MAX_ADDRESS][:MAX_ADDRESSES],
        "software": hello.software[:MAX_SOFTWARE],
        "link": hello.link_number,
        "linked": hello.linked,
        "applies": hello.applies,
    }


def parse_hello(fields: Any) -> Hello:
    """Raises WireError. Unknown fields and roles are ignored."""
    if not isinstance(fields, dict):
        raise WireError("a hello is not a map")
    return Hello(
        mesh_id=MeshId(_text(fields, "mesh", 40)),
        public_key=_bytes(fields.get("key"), PUBLIC_KEY_SIZE, PUBLIC_KEY_SIZE),
        boot_counter=_number(fields.get("boot")),
        boot_id=_text(fields, "boot_id", 32),
        versions=tuple(_number(item) for item in _items(fields, "versions", MAX_VERSIONS)),
        roles=_roles(fields),
        grants=tuple(
            _bytes(item, 0, MAX_GRANT_SIZE) for item in _items(fields, "grants", MAX_GRANTS)
        ),
        addresses=_addresses(fields),
        software=_text(fields, "software", MAX_SOFTWARE),
        link_number=_number(fields.get("link")),
        linked=fields.get("linked") is True,
        applies=fields.get("applies") is True,
    )


def common_version(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int | None:
    """The highest version both speak."""
    return max(set(ours) & set(theirs), default=None)


def _roles(fields: dict[Any, Any]) -> tuple[Role, ...]:
    known = dict.fromkeys(item for item in _items(fields, "roles", MAX_ROLES) if item in _ROLES)
    return tuple(known)


def _addresses(fields: dict[Any, Any]) -> tuple[str, ...]:
    addresses = _items(fields, "addresses", MAX_ADDRESSES)
    for address in addresses:
        if not isinstance(address, str) or len(address) > MAX_ADDRESS:
            raise WireError("hello: an address is not a short text")
    return tuple(addresses)


def _items(fields: dict[Any, Any], name: str, most: int) -> list[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise WireError(f"hello: {name} is not a list of at most {most}")
    if not all(isinstance(item, int | str | bytes) for item in value):
        raise WireError(f"hello: {name} holds what it cannot")
    return value


def _text(fields: dict[Any, Any], name: str, most: int) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise WireError(f"hello: {name} is not a text of at most {most} characters")
    return value


def _bytes(value: Any, least: int, most: int) -> bytes:
    if not isinstance(value, bytes) or not least <= len(value) <= most:
        raise WireError("hello: a key or grant has the wrong size")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < MAX_BOOTS:
        raise WireError("hello: a counter is not a number")
    return value
