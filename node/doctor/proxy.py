"""The way out through an HTTP proxy: whether one is set, lives, lets us in and lets us through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal

from mesh.errors import DialError
from mesh.links.proxy import (
    Proxy,
    ProxyRefused,
    ProxyUnreachable,
    open_tunnel,
    routes_from_environment,
)
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.outbound import try_tcp
from node.doctor.patient import Patient
from node.doctor.routes import proxy_for, routes_of
from node.doctor.targets import Target, targets_of

AREA = "proxy"
PROXY_SECONDS = 4.0

Outcome = Literal["tunnel", "dead", "password", "forbidden", "unreachable", "no proxy", "silent"]


async def examine_proxy(patient: Patient) -> Sequence[Finding]:
    """See `judge_proxy`. Every place is asked for by CONNECT, as links do."""
    useless = _useless(patient)
    if useless is not None:
        return [useless]
    routes = routes_of(patient)
    proxies = list(dict.fromkeys(each for each in (routes.secure, routes.plain) if each))
    if not proxies:
        return [ok(AREA, "No proxy is set: connections go out directly")]
    return [finding for proxy in proxies for finding in await _examine_one(patient, proxy)]


async def _examine_one(patient: Patient, proxy: Proxy) -> Sequence[Finding]:
    targets = [each for each in targets_of(patient) if proxy_for(patient, each) == proxy]
    if not targets:
        why = f"The proxy {proxy} is set, but no configured place is reached through it"
        return [skipped(AREA, why)]
    outcomes = await asyncio.gather(*(connect_through(proxy, target) for target in targets))
    return judge_proxy(f"The proxy {proxy}", dict(zip(targets, outcomes, strict=True)))


def judge_proxy(where: str, outcomes: Mapping[Target, Outcome]) -> tuple[Finding, ...]:
    """One finding when the proxy itself is the trouble, else one a place it does not open."""
    found = set(outcomes.values())
    if "dead" in found:
        cure = "correct the address in `proxy` or HTTPS_PROXY, or unset it if there is no proxy"
        return (problem(AREA, f"{where} does not answer", cure),)
    if "silent" in found and "tunnel" not in found:
        cure = "ask whoever runs it; a proxy that hangs is worse than none"
        return (problem(AREA, f"{where} takes connections and says nothing", cure),)
    if "password" in found:
        cure = "put the right user name and password into the URL: http://USER:PASSWORD@HOST:PORT"
        return (problem(AREA, f"{where} wants a user name and password", cure),)
    if "no proxy" in found and "tunnel" not in found:
        cure = "correct the address: what answers there is something else, maybe a web server"
        return (problem(AREA, f"{where} does not speak CONNECT", cure),)
    troubles = [_judge_place(where, target, how) for target, how in outcomes.items()]
    refused = tuple(finding for finding in troubles if finding is not None)
    opened = sum(how == "tunnel" for how in outcomes.values())
    if opened:
        return (*refused, ok(AREA, f"{where} opens tunnels to {opened} of {len(outcomes)} places"))
    return refused


async def connect_through(proxy: Proxy, target: Target) -> Outcome:
    """What a CONNECT for the target comes to."""
    try:
        async with asyncio.timeout(PROXY_SECONDS):
            connection = await open_tunnel(proxy, target.host, target.port)
    except TimeoutError:
        return "silent" if await _listens(proxy) else "dead"
    except ProxyRefused as error:
        return outcome_of(error.status)
    except ProxyUnreachable:
        return "no proxy" if await _listens(proxy) else "dead"
    except DialError:
        return "unreachable"
    connection.close()
    return "tunnel"


def outcome_of(status: int) -> Outcome:
    """What a proxy's refusal means."""
    if status == 407:
        return "password"
    if status in (401, 403, 405, 451):
        return "forbidden"
    return "unreachable" if status >= 500 else "no proxy"


async def _listens(proxy: Proxy) -> bool:
    return await try_tcp(proxy.host, proxy.port, seconds=1.0) == "open"


def _judge_place(where: str, target: Target, how: Outcome) -> Finding | None:
    if how == "forbidden":
        cure = "ask whoever runs it to allow that port; most allow 443 only, so prefer wss://"
        return problem(AREA, f"{where} forbids tunnels to {target}", cure)
    if how in ("unreachable", "silent", "no proxy"):
        cure = "see whether that place runs, and whether its address is right"
        return warning(AREA, f"{where} cannot reach {target}", cure)
    return None


def _useless(patient: Patient) -> Finding | None:
    """A variable of others that cannot be read is passed over by the node; its owner may mind."""
    if patient.config is None or patient.config.proxy != "environment":
        return None
    try:
        routes_from_environment(patient.environ)
    except ValueError as error:
        cure = "correct the variable, or set `proxy`; until then no proxy is used"
        return problem(AREA, "A proxy variable in the environment cannot be read", cure, error)
    return None
