"""How often, and how fast, a relayed link becomes a direct one: `python -m chaos.hole_punching`.

Two homes behind routers of two kinds, and a relay that tells each which outside address its UDP
has. Every try is a new client: a new key, a new port, a new hole.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import median
from typing import Any, Final

from chaos.nat_lab import LabHost, NatLab
from chaos.nat_rules import NatKind
from chaos.network_lab import enter
from chaos.relay_speed import End

CONE, SYMMETRIC, NOUDP = NatKind.CONE, NatKind.SYMMETRIC, NatKind.NOUDP
CARRIER: Final = "double cone"
"""A cone router behind a carrier's cone router."""
PAIRS: Final[tuple[tuple[str, str], ...]] = (
    (CONE, CONE),
    (CONE, CARRIER),
    (CONE, SYMMETRIC),
    (SYMMETRIC, SYMMETRIC),
    (CONE, NOUDP),
)
CONE_LIKE: Final = frozenset({CONE, CARRIER})
TARGET: Final = 0.95
"""Share of tries that must come through where both routers are like cones."""
RATE_SECONDS: Final = 2.0


def add_machine(lab: NatLab, name: str, kind: str) -> LabHost:
    """A machine behind a router of a kind."""
    if kind == CARRIER:
        carrier = lab.add_carrier(f"carrier-{name}", CONE)
        return lab.add_home(name, CONE, inside=carrier).add_host(name)
    return lab.add_home(name, NatKind(kind)).add_host(name)


def measure(client_kind: str, server_kind: str, times: int) -> dict[str, Any]:
    """So many tries between two homes; the throughput of the last that came through."""
    lab, started = NatLab(), []
    try:
        relay = End(lab.add_public("relay"), "relay")
        started.append(relay)
        server = End(add_machine(lab, "server", server_kind), "server")
        started.append(server)
        client = End(add_machine(lab, "client", client_kind), "client")
        started.append(client)
        relay_node, relay_url = relay.hello["node"], relay.hello["address"]
        server.ask(relay=relay_node, address=relay_url)
        node = server.hello["node"]
        address = f"relay://{relay_url.removeprefix('tcp://')}/{relay_node}/{node}"
        tries = [
            client.ask(
                node=node,
                address=address,
                punch=True,
                seconds=RATE_SECONDS if number == times - 1 else 0,
            )
            for number in range(times)
        ]
        return summary(tries)
    finally:
        for end in started:
            end.stop()
        lab.close()


def summary(tries: list[dict[str, Any]]) -> dict[str, Any]:
    """The share that came through, and what those took."""
    through = [each for each in tries if "punched_s" in each]
    report: dict[str, Any] = {"tries": len(tries), "direct": len(through) / len(tries)}
    if through:
        times = [each["punched_s"] for each in through]
        report["punched_p50_s"] = round(median(times), 3)
        report["punched_longest_s"] = round(max(times), 3)
        report["echo_ms"] = round(median(each["echo_s"] for each in through) * 1e3, 2)
        report["mbit_per_s"] = round(max(each["bytes_per_s"] for each in through) * 8e-6, 1)
    failed = [each for each in tries if "failed" in each]
    if failed:
        report["given_up_after_s"] = round(median(each["after_s"] for each in failed), 2)
        report["because"] = sorted({each["failed"][:120] for each in failed})[:3]
    return report


def missed(report: dict[str, dict[str, Any]]) -> list[str]:
    """Pairs of cone-like routers below the target."""
    names = {f"{one} - {other}" for one in CONE_LIKE for other in CONE_LIKE}
    return [name for name, each in report.items() if name in names and each["direct"] < TARGET]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=20, help="tries of each pair")
    enter("chaos.hole_punching", sys.argv[1:], routers=True)
    times = parser.parse_args().times
    report = {f"{one} - {other}": measure(one, other, times) for one, other in PAIRS}
    late = missed(report)
    print(json.dumps({**report, "missed": late}, indent=1))
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
