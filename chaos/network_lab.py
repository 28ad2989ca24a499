"""A network of namespaces on one machine that can be cut: `unshare` and `ip`, no root needed.

Every host is a network namespace with one cable into a switch. Cutting hosts off moves their cables
to another switch: frames are lost without a word, as on a real network that fell apart, while both
sides go on among themselves. The program that builds a lab runs inside `unshare -Urn` (`enter`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "10.77.0."
NETWORK_BITS = 24
MAX_HOSTS = 200
SWITCH_MAC = "02:00:0a:4d:00:fe"
INSIDE = "ELECTRONS_LAB_INSIDE"


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace. Commands run in it with `enter` put before them."""

    number: int
    keeper: int
    """The process that keeps the namespace alive."""

    @property
    def address(self) -> str:
        return f"{PREFIX}{self.number}"

    @property
    def enter(self) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self.keeper), "--net", "--")


class NetworkLab:
    """Hosts on a switch; close it when done."""

    def __init__(self) -> None:
        self._keepers: list[subprocess.Popen[bytes]] = []
        for switch, number in (("whole", 254), ("apart", 253)):
            _ip("link", "add", switch, "type", "bridge")
            # Both have the same: hosts remember for half a minute where this program answered, and
            # it answers for both of its addresses on either switch.
            _ip("link", "set", switch, "address", SWITCH_MAC)
            _ip("link", "set", switch, "up")
            _ip("addr", "add", f"{PREFIX}{number}/{NETWORK_BITS}", "dev", switch)
            if switch == "apart":
                # The program itself talks to hosts of both sides: one route a host, see `_place`.
                _ip("route", "del", f"{PREFIX}0/{NETWORK_BITS}", "dev", switch)
        _ip("link", "set", "lo", "up")

    def add_host(self) -> Host:
        """Plug in another host."""
        number = len(self._keepers) + 1
        keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE
        )
        self._keepers.append(keeper)
        assert keeper.stdout is not None
        keeper.stdout.readline()  # the namespace is there
        host = Host(number, keeper.pid)
        _ip(
            "link",
            "add",
            f"port{number}",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            str(keeper.pid),
        )
        for words in (
            ("addr", "add", f"{host.address}/{NETWORK_BITS}", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _run(*host.enter, "ip", *words)
        _ip("link", "set", f"port{number}", "up")
        self._place(host, "whole")
        return host

    def cut_off(self, hosts: Iterable[Host]) -> None:
        """Leave these hosts among themselves."""
        for host in hosts:
            self._place(host, "apart")

    def heal(self, hosts: Iterable[Host]) -> None:
        """Put these hosts back with the others."""
        for host in hosts:
            self._place(host, "whole")

    def close(self) -> None:
        """Remove every host; the switches go with the namespace of this program."""
        for keeper in self._keepers:
            keeper.kill()
            keeper.wait()
            if keeper.stdout is not None:
                keeper.stdout.close()

    def _place(self, host: Host, switch: str) -> None:
        _ip("link", "set", f"port{host.number}", "master", switch)
        _ip("route", "replace", f"{host.address}/32", "dev", switch)


def enter(module: str, arguments: list[str], *, routers: bool = False) -> None:
    """Run this module again inside namespaces of its own, unless it is there already.

    `routers`: it needs nftables as well.
    """
    if os.environ.get(INSIDE):
        return
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where they are, and users seldom look
    packages = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2"}
    if routers:
        packages |= {"tc": "iproute2", "nft": "nftables"}
    for tool, package in packages.items():
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: install {package}")
    os.environ[INSIDE] = "yes"
    os.execvp("unshare", ["unshare", "-Urn", sys.executable, "-m", module, *arguments])


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
