"""What home routers do to packets, as rules of nftables: text only, nothing is run here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class NatKind(StrEnum):
    """Kinds of home routers."""

    CONE = "cone"
    """Keeps ports; lets in answers only from where something was sent (RFC 4787: endpoint-
    independent mapping while the port is free, address- and port-dependent filtering)."""
    SYMMETRIC = "symmetric"
    """A new random port for each destination."""
    NOUDP = "noudp"
    """As cone for TCP; all UDP is dropped."""
    WEB = "web"
    """Only TCP to the ports of the web leaves."""
    PROXY = "proxy"
    """Nothing leaves but through the HTTP proxy that the router runs."""


WEB_PORTS: Final = (80, 443, 8443)
PROXY_PORT: Final = 3128


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A port of the outside address that the router sends on to a host of its LAN."""

    port: int
    host: str


_LEAVES: Final = {
    NatKind.CONE: 'iifname "lan" accept',
    NatKind.SYMMETRIC: 'iifname "lan" accept',
    NatKind.NOUDP: 'iifname "lan" meta l4proto != udp accept',
    NatKind.WEB: f'iifname "lan" tcp dport {{ {", ".join(map(str, WEB_PORTS))} }} accept',
    NatKind.PROXY: "",
}
_TEMPLATE: Final = """flush ruleset
table ip nat {{
  chain arriving {{ type nat hook prerouting priority dstnat;
    {forwarded}
  }}
  chain leaving {{ type nat hook postrouting priority srcnat;
    oifname "wan" masquerade{ports}
  }}
}}
table ip filter {{
  chain through {{ type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct status dnat accept
    {leaves}
  }}
  chain in {{ type filter hook input priority filter; policy drop;
    iifname {{ "lan", "lo" }} accept
    ct state established,related accept
  }}
}}
"""


def router_rules(kind: NatKind, forwarded: tuple[Forwarded, ...] = ()) -> str:
    """A whole ruleset for `nft -f`, between the interfaces `lan` and `wan`.

    What comes in unasked is dropped before it is tracked as a connection of the router itself: an
    early punch of a peer must neither be answered nor take the port of the mapping to come.
    """
    lines = [
        f'iifname "wan" {protocol} dport {each.port} dnat to {each.host}:{each.port}'
        for each in forwarded
        for protocol in ("tcp", "udp")
    ]
    ports = " fully-random" if kind is NatKind.SYMMETRIC else ""
    return _TEMPLATE.format(forwarded="\n    ".join(lines), leaves=_LEAVES[kind], ports=ports)
