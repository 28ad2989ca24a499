"""Ways out: TCP to each configured place, port 443, and UDP where somebody answers it."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Literal

from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient
from node.doctor.routes import proxy_for
from node.doctor.targets import HTTPS_PORT, Target, targets_of

AREA = "outbound TCP"
HTTPS = "outbound 443"
UDP = "outbound UDP"
CONNECT_SECONDS = 4.0
UDP_TRIES = 3
UDP_WAIT = 0.5
"""Seconds for each of the tries: UDP may be lost without being blocked."""
STUN_REQUEST = b"\x00\x01\x00\x00\x21\x12\xa4\x42"
"""A Binding request without attributes (RFC 8489, 5 and 6.1); its transaction id follows."""

NO_NETWORK = frozenset({"unreachable", "unresolved"})
"""What connecting comes to without a network."""

Outcome = Literal["open", "refused", "timeout", "unresolved", "unreachable"]


async def examine_tcp(patient: Patient) -> Sequence[Finding]:
    """See `judge_tcp`, `judge_https`. Places behind a proxy are the proxy check's."""
    targets = [each for each in targets_of(patient) if proxy_for(patient, each) is None]
    outcomes = await asyncio.gather(*(try_tcp(each.host, each.port) for each in targets))
    tried = dict(zip(targets, outcomes, strict=True))
    return (*judge_tcp(tried), judge_https(tried))


async def examine_udp(patient: Patient) -> Sequence[Finding]:
    """See `judge_udp`."""
    if not patient.udp:
        why = "Nothing in the settings answers UDP; it is only used for direct paths between nodes"
        return [skipped(UDP, why, "name a place that answers STUN with --udp HOST:PORT to try it")]
    host, _, port = patient.udp.rpartition(":")
    return [judge_udp(patient.udp, await try_udp(host.strip("[]"), int(port)))]


def judge_tcp(tried: Mapping[Target, Outcome]) -> tuple[Finding, ...]:
    """Whether the node can dial out to anybody."""
    if not tried:
        why = "No edge router, node or relay is configured that would be dialled directly"
        return (skipped(AREA, why, "give --join or --edge to meet nodes beyond this network"),)
    failed = {target: each for target, each in tried.items() if each != "open"}
    how = frozenset(failed.values())
    if not failed:
        return (ok(AREA, f"All {len(tried)} configured places take connections"),)
    if len(failed) == len(tried) and how == {"timeout"}:
        what = "No configured place answers: connections vanish on the way out"
        cure = "allow outgoing TCP in the firewall, or set `proxy` if the network has one"
        return (problem(AREA, what, cure),)
    if len(failed) == len(tried) and "unreachable" in how <= NO_NETWORK:
        what = "This machine has no way to any configured place"
        return (problem(AREA, what, "connect it: cable, Wi-Fi, or the container's network"),)
    judge = problem if len(failed) == len(tried) else warning
    return tuple(judge(AREA, *_tell(target, each)) for target, each in failed.items())


def judge_https(tried: Mapping[Target, Outcome]) -> Finding:
    """Port 443, which is open where little else is."""
    outcomes = [how for target, how in tried.items() if target.port == HTTPS_PORT]
    if not outcomes:
        return skipped(HTTPS, "No configured place listens on port 443")
    if "open" in outcomes:
        return ok(HTTPS, "Port 443 is open on the way out")
    if "open" not in tried.values():
        return skipped(HTTPS, "No way out is open, so port 443 tells nothing of its own")
    cure = "ask whoever runs the network; without 443 only a proxy leads out"
    return problem(HTTPS, "Port 443 is closed on the way out", cure)


def judge_udp(place: str, answered: bool) -> Finding:
    """Whether datagrams go out and come back."""
    if answered:
        return ok(UDP, f"{place} answers over UDP")
    what = f"{place} does not answer over UDP"
    return warning(UDP, what, "allow outgoing UDP for direct paths; without it relays carry links")


async def try_tcp(host: str, port: int, *, seconds: float = CONNECT_SECONDS) -> Outcome:
    """What connecting comes to."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except (socket.gaierror, UnicodeError):
        return "unresolved"
    except OSError:
        return "unreachable"
    writer.close()
    return "open"


async def try_udp(host: str, port: int) -> bool:
    """Whether a STUN server there answers one of a few Binding requests."""
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_datagram_endpoint(
            _Listener, remote_addr=(host, port)
        )
    except OSError:
        return False
    try:
        for _ in range(UDP_TRIES):
            transport.sendto(STUN_REQUEST + protocol.transaction)
            try:
                async with asyncio.timeout(UDP_WAIT):
                    await protocol.answered.wait()
            except TimeoutError:
                continue
            return True
        return False
    finally:
        transport.close()


class _Listener(asyncio.DatagramProtocol):
    """Waits for the answer to one transaction."""

    def __init__(self) -> None:
        self.transaction = secrets.token_bytes(12)
        self.answered = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        if data[4:20] == STUN_REQUEST[4:] + self.transaction:
            self.answered.set()


def _tell(target: Target, how: Outcome) -> tuple[str, str]:
    match how:
        case "refused":
            cure = "see whether it runs and whether the port is right"
            return f"Nothing listens at {target}", cure
        case "timeout":
            return f"{target} does not answer", "a firewall may drop it; see whether it runs"
        case "unresolved":
            return f"The name of {target} leads nowhere", "correct its spelling in the settings"
    return f"There is no way to {target}", "see whether this machine has a network at all"
