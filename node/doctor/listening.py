"""The node's own ports: free for it, or its own already."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from node.config_addresses import Address
from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, skipped
from node.doctor.patient import Patient
from services.engines.discovery import owners_of_ports

AREA = "ports"


@dataclass(frozen=True, slots=True)
class PortFacts:
    """One address on which the node listens or would listen."""

    flag: str
    address: Address
    ours: bool = False
    """The running node listens there."""
    error: int = 0
    """errno of trying to listen there; 0 where it went well."""
    holder: str = ""
    """Name of the program that has the port, as far as this user may know."""


async def examine_ports(patient: Patient) -> Sequence[Finding]:
    """See `judge_port`."""
    if patient.config is None:
        return [skipped(AREA, "The settings do not load, so the ports are not known")]
    wanted = {"--http": patient.config.http, "--mesh": patient.config.mesh}
    return [
        judge_port(await aside(lambda f=flag, a=address: look_at(patient, f, a)))  # type: ignore[misc]
        for flag, address in wanted.items()
    ]


def look_at(patient: Patient, flag: str, address: Address) -> PortFacts:
    """Whether the running node has it; else whether it could be had."""
    if patient.running and patient.run_info is not None:
        info = patient.run_info
        bound = urlsplit(info.url).port if flag == "--http" else _port_of(info.mesh)
        if address.port in (0, bound):
            return PortFacts(flag, address, ours=True)
    error = try_to_listen(address)
    return PortFacts(flag, address, error=error, holder=_holder(address.port) if error else "")


def judge_port(facts: PortFacts) -> Finding:
    """Whether a node can listen there."""
    where = f"{facts.flag} {facts.address}"
    if facts.ours:
        return ok(AREA, f"{where} is the running node's")
    match facts.error:
        case 0:
            free = "takes any free port" if facts.address.port == 0 else "is free"
            return ok(AREA, f"{where} {free}")
        case errno.EADDRINUSE:
            by = f"by {facts.holder}" if facts.holder else "by another program"
            cure = f"end that program, or choose another port with {facts.flag}"
            return problem(AREA, f"{where} is in use {by}", cure)
        case errno.EADDRNOTAVAIL:
            cure = f"choose an address that this machine has, with {facts.flag}"
            return problem(AREA, f"{where} is not an address of this machine", cure)
        case errno.EACCES | errno.EPERM:
            cure = f"choose a port from 1024 on, with {facts.flag}"
            return problem(AREA, f"{where} may not be opened by this user", cure)
    cure = f"choose another address with {facts.flag}"
    return problem(
        AREA, f"Nothing can listen at {where}", cure, errno.errorcode.get(facts.error, "")
    )


def try_to_listen(address: Address) -> int:
    """0, or the errno of binding as the node's servers do. The port is free again after."""
    try:
        found = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(place)
            trial.listen(1)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def _holder(port: int) -> str:
    pid = owners_of_ports().get(port)
    if pid is None:
        return ""
    try:
        return f"{psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        return f"process {pid}"


def _port_of(place: str) -> int | None:
    port = place.rpartition(":")[2]
    return int(port) if port.isdigit() else None
