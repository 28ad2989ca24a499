"""A link through a relay against a direct one: throughput, latency. `python -m chaos.relay_speed`.

Client, relay and server are processes on machines of their own in a lab of namespaces: as fast as
this machine goes, with all cables at 50 Mbit/s, and with 10 ms on every cable.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from chaos.nat_lab import LabHost, NatLab
from chaos.network_lab import enter

SHAPED = "50mbit"
DELAY = 0.01
"""Seconds on each of the cables of client, relay and server, one way."""


@dataclass(frozen=True, slots=True)
class Case:
    """A network that is measured."""

    name: str
    rate: str = ""
    delay: float = 0.0


CASES = (Case("unshaped"), Case("50 Mbit/s", SHAPED), Case("10 ms a cable", "", DELAY))
ROUTES = ("direct", "relayed")


class End:
    """A child process on a machine of the lab, that answers lines of JSON."""

    def __init__(self, host: LabHost, role: str) -> None:
        command = (*host.enter, sys.executable, "-m", "benchmarks.relay_ends", role, host.address)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.hello = self._read()

    def ask(self, **question: Any) -> dict[str, Any]:
        """One line there, one line back."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("an end of the benchmark ended; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def ends(case: Case) -> Iterator[dict[str, End]]:
    """Client, relay and server of one case, each on its machine."""
    lab = NatLab()
    started: dict[str, End] = {}
    try:
        for role in ("relay", "server", "client"):
            host = lab.add_public(role, delay=case.delay)
            if case.rate:
                host.cable.shape(case.rate)
            started[role] = End(host, role)
        yield started
    finally:
        for end in started.values():
            end.stop()
        lab.close()


def measure(case: Case, rounds: int, seconds: float) -> dict[str, Any]:
    """Both routes in turn; the relay's own time is per byte that it passed on."""
    found: dict[str, list[dict[str, Any]]] = {route: [] for route in ROUTES}
    with ends(case) as started:
        relay, server, client = (started[role] for role in ("relay", "server", "client"))
        server.ask(relay=relay.hello["node"], address=relay.hello["address"])
        node, host = server.hello["node"], relay.hello["address"].removeprefix("tcp://")
        addresses = {
            "direct": server.hello["address"],
            "relayed": f"relay://{host}/{relay.hello['node']}/{node}",
        }
        for _ in range(rounds):
            for route in ROUTES:
                cpu = relay.ask()["cpu"]
                figures = client.ask(node=node, address=addresses[route], seconds=seconds)
                figures["relay_cpu"] = relay.ask()["cpu"] - cpu
                found[route].append(figures)
        to_relay = client.ask(node=relay.hello["node"], address=relay.hello["address"], seconds=0)
    return summary(found, to_relay["echo_s"], seconds)


def summary(
    found: dict[str, list[dict[str, Any]]], to_relay: float, seconds: float
) -> dict[str, Any]:
    """Medians, and the figures that have targets: the ratio, and latency beyond what is allowed."""
    rates = {route: median(each["bytes_per_s"] for each in found[route]) for route in ROUTES}
    echoes = {route: median(each["echo_s"] for each in found[route]) for route in ROUTES}
    connects = {route: median(each["connect_s"] for each in found[route]) for route in ROUTES}
    cpu = median(each["relay_cpu"] / each["bytes_per_s"] / seconds for each in found["relayed"])
    return {
        "mbit_per_s": {route: round(rate * 8e-6, 1) for route, rate in rates.items()},
        "ratio": round(rates["relayed"] / rates["direct"], 3),
        "echo_ms": {route: round(echo * 1e3, 2) for route, echo in echoes.items()},
        "echo_to_relay_ms": round(to_relay * 1e3, 2),
        "echo_allowed_ms": round((echoes["direct"] + 2 * to_relay) * 1e3 + 1, 2),
        "connect_ms": {route: round(took * 1e3, 1) for route, took in connects.items()},
        "relay_cpu_ns_a_byte": round(cpu * 1e9, 2),
    }


def missed(report: dict[str, dict[str, Any]]) -> list[str]:
    """Targets that were missed: 80 % of direct when shaped, latency everywhere."""
    slow = [
        name
        for name, each in report.items()
        if each["echo_ms"]["relayed"] > each["echo_allowed_ms"]
    ]
    thin = [name for name, each in report.items() if "Mbit" in name and each["ratio"] < 0.8]
    return [*(f"latency, {name}" for name in slow), *(f"throughput, {name}" for name in thin)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    enter("chaos.relay_speed", sys.argv[1:], routers=True)
    args = parser.parse_args()
    report = {case.name: measure(case, args.rounds, args.seconds) for case in CASES}
    late = missed(report)
    print(json.dumps({**report, "missed": late}, indent=1))
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
