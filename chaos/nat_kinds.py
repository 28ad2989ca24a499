"""Shows that the lab's routers do as they are named: `python -m chaos.nat_kinds`, some seconds.

Looked at from outside only, as RFC 5780 does: what leaves, under which port it is seen by two
servers, and what comes back unasked. Each router is then given another kind's rules, and the same
eyes must see that.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

from chaos.connect_proxy import ConnectProxy
from chaos.nat_lab import LabHost, NatLab
from chaos.nat_rules import NatKind
from chaos.network_lab import enter

PATIENCE = (0.25, 1.0, 3.0)
"""Seconds for what may come; everything is one machine. Only what stays away where it should come
is waited for again and longer: a machine may be busy."""
ODD_PORT, WEB_PORT = 4000, 443
MAPPED_PORT = 7718
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What can be seen of a router."""

    tcp_out: bool = False
    web_out: bool = False
    udp_out: bool = False
    udp_port_of_each_server: bool = False
    """The outside port depends on whom one talks to: no use telling it to others."""
    tcp_in: bool = False
    """Strangers reach a port that listens."""
    udp_in: bool = False
    """Strangers reach a port that talked to somebody else."""


EXPECTED: Final = {
    NatKind.CONE: Behaviour(tcp_out=True, web_out=True, udp_out=True),
    NatKind.SYMMETRIC: Behaviour(
        tcp_out=True, web_out=True, udp_out=True, udp_port_of_each_server=True
    ),
    NatKind.NOUDP: Behaviour(tcp_out=True, web_out=True),
    NatKind.WEB: Behaviour(web_out=True),
    NatKind.PROXY: Behaviour(),
}


class Observers:
    """Two public servers and a stranger, with sockets that stay open."""

    def __init__(self, hosts: list[LabHost]) -> None:
        self.hosts = hosts
        self.udp: list[socket.socket] = []
        self.tcp: list[socket.socket] = []
        for host in hosts:
            with host.namespace.inside():
                self.udp.append(_udp(host.address, ODD_PORT))
                self.tcp.extend(
                    socket.create_server((host.address, port)) for port in (ODD_PORT, WEB_PORT)
                )

    def close(self) -> None:
        for each in (*self.udp, *self.tcp):
            each.close()

    async def observe(self, host: LabHost, outside: str, expected: Behaviour) -> Behaviour:
        """How the way between a host and the public looks."""
        seen = Behaviour()
        for patience in PATIENCE:
            seen = await self._observe(host, outside, patience)
            if seen == expected:
                break
        return seen

    async def seen(self, talk: socket.socket, server: int, patience: float) -> Address | None:
        """Under which address a server sees it; None when nothing arrives."""
        word = f"{server} {time.monotonic_ns()}".encode()
        talk.sendto(word, (self.hosts[server].address, ODD_PORT))
        return await _await_word(self.udp[server], word, patience)

    async def _observe(self, host: LabHost, outside: str, patience: float) -> Behaviour:
        with host.namespace.inside():
            talk, door = _udp(host.address, MAPPED_PORT), socket.create_server(("", MAPPED_PORT))
        with talk, door:
            first = self.hosts[0].address
            tcp_out, web_out, tcp_in, seen, other = await asyncio.gather(
                connects(host, first, ODD_PORT, patience),
                connects(host, first, WEB_PORT, patience),
                connects(self.hosts[2], outside, MAPPED_PORT, patience),
                self.seen(talk, 0, patience),
                self.seen(talk, 1, patience),
            )
            both = seen is not None and other is not None
            udp_in = await self._reaches(talk, seen or (outside, MAPPED_PORT), patience)
            return Behaviour(tcp_out, web_out, both, both and seen != other, tcp_in, udp_in)

    async def _reaches(self, talk: socket.socket, seen: Address, patience: float) -> bool:
        word = f"stranger {time.monotonic_ns()}".encode()
        self.udp[2].sendto(word, seen)
        return await _await_word(talk, word, patience) is not None


async def connects(host: LabHost, address: str, port: int, patience: float) -> bool:
    """Whether a TCP connection from this host comes about."""
    with host.namespace.inside():
        way = socket.socket()
    way.setblocking(False)
    with way:
        try:
            async with asyncio.timeout(patience):
                await asyncio.get_running_loop().sock_connect(way, (address, port))
        except (OSError, TimeoutError):
            return False
    return True


async def connects_by_proxy(host: LabHost, proxy: ConnectProxy, target: str) -> bool:
    """Whether the office's proxy lets this host through."""
    address, port = proxy.url.removeprefix("http://").split(":")
    with host.namespace.inside():
        way = socket.create_connection((address, int(port)), timeout=PATIENCE[-1])
    reader, writer = await asyncio.open_connection(sock=way)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode())
    try:
        async with asyncio.timeout(PATIENCE[-1]):
            return b" 200 " in await reader.readline()
    except TimeoutError:
        return False
    finally:
        writer.close()


def _udp(address: str, port: int) -> socket.socket:
    talk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    talk.bind((address, port))
    talk.setblocking(False)
    return talk


async def _await_word(talk: socket.socket, word: bytes, patience: float) -> Address | None:
    """From where it came; None when it did not."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            while True:
                data, address = await loop.sock_recvfrom(talk, 1500)
                if data == word:
                    return str(address[0]), int(address[1])
    except TimeoutError:
        return None


def differs(what: str, seen: object, expected: object) -> list[str]:
    """A line when they are not the same."""
    return [] if seen == expected else [f"{what}: saw {seen}, expected {expected}"]


async def differs_in_reach(
    what: str, host: LabHost, address: str, port: int, expected: bool
) -> list[str]:
    """A line when a connection comes about and must not, or the other way round."""
    patience = PATIENCE[-1] if expected else PATIENCE[0]
    return differs(what, await connects(host, address, port, patience), expected)


async def look_at_kinds(lab: NatLab, observers: Observers) -> list[str]:
    """Each kind of router by itself, and then with the next kind's rules."""
    faults = []
    kinds = list(NatKind)
    for number, kind in enumerate(kinds):
        home = lab.add_home(kind, kind)
        host = home.add_host(f"in-{kind}")
        seen = await observers.observe(host, home.outside, EXPECTED[kind])
        faults += differs(kind, seen, EXPECTED[kind])
        other = kinds[(number + 1) % len(kinds)]
        home.set_kind(other)
        # Mappings of before stay with the host of before: a new one looks.
        newcomer = home.add_host(f"in-{other}")
        changed = await observers.observe(newcomer, home.outside, EXPECTED[other])
        faults += differs(f"{kind} that became {other}", changed, EXPECTED[other])
    return faults


async def look_at_mapped(lab: NatLab, observers: Observers) -> list[str]:
    """A forwarded port lets strangers in; another outside address is seen as such."""
    home = lab.add_home("mapped", NatKind.CONE)
    host = home.add_host("mapped")
    home.forward(MAPPED_PORT, host)
    expected = Behaviour(tcp_out=True, web_out=True, udp_out=True, tcp_in=True, udp_in=True)
    faults = differs("mapped", await observers.observe(host, home.outside, expected), expected)
    before, after = home.outside, home.change_address()
    seen = await observers.observe(host, after, expected)
    faults += differs("mapped at a new address", seen, expected)
    return faults + await differs_in_reach("old", observers.hosts[2], before, MAPPED_PORT, False)


async def look_at_carrier(lab: NatLab, observers: Observers) -> list[str]:
    """A home behind a carrier is seen under the carrier's address, whatever its own router does."""
    carrier = lab.add_carrier("carrier", NatKind.SYMMETRIC)
    home = lab.add_home("behind", NatKind.CONE, inside=carrier)
    host = home.add_host("behind")
    home.forward(MAPPED_PORT, host)
    expected = EXPECTED[NatKind.SYMMETRIC]
    seen = await observers.observe(host, carrier.outside, expected)
    faults = differs("double NAT", seen, expected)
    with host.namespace.inside():
        talk = _udp(host.address, ODD_PORT)
    with talk:
        address = await observers.seen(talk, 0, PATIENCE[-1])
    return faults + differs("seen as", address and address[0], carrier.outside)


async def look_at_proxy(lab: NatLab, observers: Observers) -> list[str]:
    """Behind the proxy of an office TLS leaves by CONNECT, and nothing else does."""
    home = lab.add_home("office", NatKind.PROXY)
    host = home.add_host("desk")
    web = observers.hosts[0].address
    async with ConnectProxy(home) as proxy:
        allowed = await connects_by_proxy(host, proxy, f"{web}:{WEB_PORT}")
        odd = await connects_by_proxy(host, proxy, f"{web}:{ODD_PORT}")
    expected = EXPECTED[NatKind.PROXY]
    around = await observers.observe(host, home.outside, expected)
    return [
        *differs("CONNECT to 443", allowed, True),
        *differs("CONNECT to 4000", odd, False),
        *differs("around the proxy", around, expected),
    ]


async def look_at_cuts(lab: NatLab, observers: Observers) -> list[str]:
    """Who is cut off is gone until healed; a delayed cable takes its time."""
    far = lab.add_public("far", delay=0.03)
    with far.namespace.inside():
        door = socket.create_server((far.address, WEB_PORT))
    near = observers.hosts[0]
    with door:
        began = time.monotonic()
        faults = await differs_in_reach("far", near, far.address, WEB_PORT, True)
        faults += differs("60 ms there and back", time.monotonic() - began >= 0.06, True)
        lab.cut(far)
        faults += await differs_in_reach("cut", near, far.address, WEB_PORT, False)
        lab.heal(far)
        return faults + await differs_in_reach("healed", near, far.address, WEB_PORT, True)


async def run() -> dict[str, Any]:
    """All looks; `faults` is empty when the lab is as it says."""
    lab = NatLab()
    try:
        observers = Observers([lab.add_public(f"public-{number}") for number in range(3)])
        faults = []
        for look in (look_at_kinds, look_at_mapped, look_at_carrier, look_at_proxy, look_at_cuts):
            faults += await look(lab, observers)
        observers.close()
        return {"kinds": {kind: asdict(seen) for kind, seen in EXPECTED.items()}, "faults": faults}
    finally:
        lab.close()


def main() -> int:
    enter("chaos.nat_kinds", sys.argv[1:], routers=True)
    report = asyncio.run(run())
    print(json.dumps(report, indent=1))
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
