"""An internet of namespaces: public hosts, and homes behind routers that translate addresses.

    public host ──┐                        ┌── host 192.168.1.10
                  ├── backbone ── router ──┤
    public host ──┘              (a home)  └── host 192.168.1.11

Every cable to the backbone is a public network of its own (45.N.0.0/24: ranges for documentation
count as private in Python), all homes use the same private range as real homes do, and a home may
be plugged into another one's LAN (carrier-grade NAT). The backbone loses what goes to private
addresses without a word. `python -m chaos.nat_kinds` shows that each kind of router does as named.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from chaos.namespaces import Namespace
from chaos.nat_rules import Forwarded, NatKind, router_rules

MAX_NETWORKS = 200
LAN = "192.168.1"
"""Of every home: a peer's private address means nothing outside, or somebody else."""
CARRIER_LAN = "100.64.0"
"""RFC 6598, for homes that other homes are plugged into."""
FIRST_HOST = 10


@dataclass(slots=True)
class Cable:
    """Between a namespace further inside and one further outside. With a delay, a program copies
    the frames."""

    inner: Namespace
    device: str
    outer: Namespace
    port: str
    copier: subprocess.Popen[bytes] | None = None
    between: Namespace | None = None

    def shape(self, rate: str) -> None:
        """Let no more than this through in either direction, as '50mbit'."""
        limit = ("root", "tbf", "rate", rate, "burst", "64kb", "latency", "100ms")
        self.inner.run("tc", "qdisc", "replace", "dev", self.device, *limit)
        self.outer.run("tc", "qdisc", "replace", "dev", self.port, *limit)

    def close(self) -> None:
        if self.copier is not None:
            self.copier.kill()
            self.copier.wait()
            if self.copier.stdout is not None:
                self.copier.stdout.close()
        if self.between is not None:
            self.between.close()


@dataclass(slots=True)
class LabHost:
    """A machine with one address."""

    name: str
    namespace: Namespace
    address: str
    cable: Cable

    @property
    def enter(self) -> tuple[str, ...]:
        """Words that put a command into this machine."""
        return self.namespace.enter


@dataclass(slots=True)
class Home:
    """A router with a LAN behind it."""

    name: str
    kind: NatKind
    router: Namespace
    outside: str
    """The router's own address on its outer side."""
    gateway: str
    lan: str
    cable: Cable
    hosts: list[LabHost] = field(default_factory=list)
    homes: int = 0
    """Homes plugged into the LAN."""
    forwarded: tuple[Forwarded, ...] = ()

    @property
    def inside(self) -> str:
        """The router's address in its LAN."""
        return f"{self.lan}.1"

    def add_host(self, name: str) -> LabHost:
        """Plug a machine into the LAN."""
        namespace, port = Namespace(), f"h{len(self.hosts)}"
        address = f"{self.lan}.{FIRST_HOST + len(self.hosts)}"
        cable = _lay_cable(namespace, "eth0", self.router, port)
        namespace.configure(
            f"addr add {address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {self.inside}",
        )
        self.router.configure(f"link set {port} master lan", f"link set {port} up")
        host = LabHost(name, namespace, address, cable)
        self.hosts.append(host)
        return host

    def forward(self, port: int, host: LabHost) -> None:
        """Send what reaches this port of the outside address to a machine of the LAN."""
        self.forwarded += (Forwarded(port, host.address),)
        self.set_kind(self.kind)

    def set_kind(self, kind: NatKind) -> None:
        """Be another kind of router from now on; mappings that exist stay."""
        self.kind = kind
        self.router.run("nft", "-f", "-", given=router_rules(kind, self.forwarded))

    def change_address(self) -> str:
        """Get another outside address, as from a provider at night; the new one.

        Connections that use the old one are dead without a word, since its mappings go with it.
        """
        network, last = self.outside.rsplit(".", 1)
        old, self.outside = self.outside, f"{network}.{int(last) + 1}"
        self.router.configure(
            f"addr del {old}/24 dev wan",
            f"addr add {self.outside}/24 dev wan",
            f"route replace default via {self.gateway}",
        )
        return self.outside


class NatLab:
    """The backbone and all that is plugged into it. Close it when done."""

    def __init__(self) -> None:
        self._backbone = _new_router()
        self._backbone.configure("route add blackhole default")
        self._backbone.run(
            "nft",
            "-f",
            "-",
            given="table ip cuts {\n set cut { type ifname; }\n chain through {\n"
            " type filter hook forward priority filter; policy accept;\n"
            " iifname @cut drop\n oifname @cut drop\n }\n}\n",
        )
        self._networks = 0
        self._hosts: list[LabHost] = []
        self._homes: list[Home] = []

    def add_public(self, name: str, *, delay: float = 0.0) -> LabHost:
        """A machine with a public address; `delay` are seconds one way."""
        namespace = Namespace()
        address, gateway, cable = self._connect(namespace, "eth0", delay)
        host = LabHost(name, namespace, address, cable)
        namespace.configure(f"route add default via {gateway}")
        self._hosts.append(host)
        return host

    def add_home(
        self, name: str, kind: NatKind, *, inside: Home | None = None, delay: float = 0.0
    ) -> Home:
        """A router, plugged into the backbone or into another home's LAN, with nobody behind."""
        router = _new_router()
        if inside is None:
            outside, gateway, cable = self._connect(router, "wan", delay)
        else:
            outside, gateway, cable = _plug_into(inside, router)
        return self._open(Home(name, kind, router, outside, gateway, LAN, cable))

    def add_carrier(self, name: str, kind: NatKind) -> Home:
        """A carrier that translates for homes: what is plugged in gets addresses of RFC 6598."""
        router = _new_router()
        outside, gateway, cable = self._connect(router, "wan", 0.0)
        return self._open(Home(name, kind, router, outside, gateway, CARRIER_LAN, cable))

    def cut(self, *sites: LabHost | Home) -> None:
        """Lose all between these and the rest without a word. Only what hangs on the backbone."""
        for site in sites:
            self._backbone.run("nft", "add", "element", "ip", "cuts", "cut", _element(site))

    def heal(self, *sites: LabHost | Home) -> None:
        """Undo `cut`."""
        for site in sites:
            self._backbone.run("nft", "delete", "element", "ip", "cuts", "cut", _element(site))

    def close(self) -> None:
        """Let go of every namespace; programs that still run in one keep it."""
        machines = [*self._hosts, *(host for home in self._homes for host in home.hosts)]
        for host in machines:
            host.cable.close()
            host.namespace.close()
        for home in self._homes:
            home.cable.close()
            home.router.close()
        self._backbone.close()

    def _connect(self, inner: Namespace, device: str, delay: float) -> tuple[str, str, Cable]:
        """(address, gateway, cable) of a new public network with one machine."""
        if self._networks == MAX_NETWORKS:
            raise ValueError(f"a lab has room for {MAX_NETWORKS} public networks")
        self._networks += 1
        network = f"45.{self._networks}.0"
        port = f"p{self._networks}"
        cable = _lay_cable(inner, device, self._backbone, port, delay)
        self._backbone.configure(f"addr add {network}.1/24 dev {port}", f"link set {port} up")
        address = f"{network}.{FIRST_HOST}"
        inner.configure(f"addr add {address}/24 dev {device}", f"link set {device} up")
        return address, f"{network}.1", cable

    def _open(self, home: Home) -> Home:
        self._homes.append(home)
        home.router.configure(
            "link add lan type bridge forward_delay 0 mcast_snooping 0",
            f"addr add {home.inside}/24 dev lan",
            "link set lan up",
            f"route add default via {home.gateway}",
        )
        home.set_kind(home.kind)
        return home


def _plug_into(parent: Home, router: Namespace) -> tuple[str, str, Cable]:
    port = f"r{parent.homes}"
    outside = f"{parent.lan}.{100 + 10 * parent.homes}"
    parent.homes += 1
    cable = _lay_cable(router, "wan", parent.router, port)
    parent.router.configure(f"link set {port} master lan", f"link set {port} up")
    router.configure(f"addr add {outside}/24 dev wan", "link set wan up")
    return outside, parent.inside, cable


def _new_router() -> Namespace:
    router = Namespace()
    router.forward()
    return router


def _element(site: LabHost | Home) -> str:
    return f"{{ {json.dumps(site.cable.port)} }}"


def _lay_cable(
    inner: Namespace, device: str, outer: Namespace, port: str, delay: float = 0.0
) -> Cable:
    if not delay:
        inner.configure(f"link add {device} type veth peer name {port} netns {outer.path}")
        return Cable(inner, device, outer, port)
    between = Namespace()
    inner.configure(f"link add {device} type veth peer name in netns {between.path}")
    outer.configure(f"link add {port} type veth peer name out netns {between.path}")
    between.configure("link set in up", "link set out up")
    for namespace, name in ((inner, device), (outer, port)):
        with namespace.inside():
            subprocess.run([sys.executable, _COPIER, "--plain", name], check=True)
    with between.inside():
        words = [sys.executable, _COPIER, "in", "out", str(delay)]
        copier = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert copier.stdout is not None
    copier.stdout.readline()  # it copies from now on
    return Cable(inner, device, outer, port, copier, between)


_COPIER = str(Path(__file__).with_name("delayed_cable.py"))
