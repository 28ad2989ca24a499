"""The way out through an HTTP proxy: whether one is set, lives, lets us in and lets us through."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import unquote, urlsplit

from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient
from node.doctor.targets import Target, targets_of

AREA = "proxy"
PROXY_SECONDS = 4.0
MAX_HEAD = 8 * 1024
"""Bytes of a proxy's answer that are read."""
VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY")
"""In the order in which they count; the small ones win, as with curl."""

Outcome = Literal["tunnel", "dead", "password", "forbidden", "unreachable", "no proxy", "silent"]


def proxy_of(patient: Patient) -> str:
    """URL of the proxy that would be used: the setting, else the environment; "" for none."""
    given = getattr(patient.config, "proxy", None) if patient.config is not None else None
    if given and str(given) not in ("auto", "environment", "none"):
        return str(given)
    if str(given) == "none":
        return ""
    return _of_environment(patient.environ)


def proxy_for(patient: Patient, url: str) -> str:
    """The proxy for one URL; "" when it is to be reached directly (no_proxy, this machine)."""
    proxy = proxy_of(patient)
    host = urlsplit(url).hostname or ""
    if not proxy or host in ("localhost", "::1") or host.startswith("127."):
        return ""
    excepted = patient.environ.get("no_proxy") or patient.environ.get("NO_PROXY") or ""
    return "" if is_excepted(host, excepted) else proxy


def is_excepted(host: str, excepted: str) -> bool:
    """Whether a no_proxy list names a host: itself, a domain above it, or * for all."""
    for entry in excepted.lower().split(","):
        name = entry.strip().removeprefix("*.").lstrip(".")
        if name and (name == "*" or host.lower() == name or host.lower().endswith(f".{name}")):
            return True
    return False


async def examine_proxy(patient: Patient) -> Sequence[Finding]:
    """See `judge_proxy`. Every place is asked for by CONNECT, as links do."""
    proxy = proxy_of(patient)
    if not proxy:
        return [ok(AREA, "No proxy is set: connections go out directly")]
    shown = place_of(proxy)
    if urlsplit(proxy).scheme not in ("http", ""):
        cure = "give an http:// proxy; its tunnel carries the mesh's own encryption"
        return [warning(AREA, f"The proxy {shown} is not spoken to over plain HTTP", cure)]
    targets = [each for each in targets_of(patient) if proxy_for(patient, each.origin)]
    if not targets:
        why = f"The proxy {shown} is set, but no configured place is reached through it"
        return [skipped(AREA, why)]
    outcomes = await asyncio.gather(*(connect_through(proxy, target) for target in targets))
    return judge_proxy(shown, dict(zip(targets, outcomes, strict=True)))


def judge_proxy(shown: str, outcomes: Mapping[Target, Outcome]) -> tuple[Finding, ...]:
    """One finding when the proxy itself is the trouble, else one a place it does not open."""
    found = set(outcomes.values())
    where = f"The proxy {shown}"
    if "dead" in found:
        cure = "correct the address in `proxy` or HTTPS_PROXY, or unset it if there is no proxy"
        return (problem(AREA, f"{where} does not answer", cure),)
    if "silent" in found and "tunnel" not in found:
        cure = "ask whoever runs it; a proxy that hangs is worse than none"
        return (problem(AREA, f"{where} takes connections and says nothing", cure),)
    if "password" in found:
        cure = "put the user name and password into the URL: http://USER:PASSWORD@HOST:PORT"
        return (problem(AREA, f"{where} wants a user name and password", cure),)
    if "no proxy" in found and "tunnel" not in found:
        cure = "correct the address: what answers there is a web server"
        return (problem(AREA, f"{where} does not speak CONNECT", cure),)
    troubles = [_judge_place(where, target, how) for target, how in outcomes.items()]
    refused = tuple(finding for finding in troubles if finding is not None)
    opened = sum(how == "tunnel" for how in outcomes.values())
    if opened:
        return (*refused, ok(AREA, f"{where} opens tunnels to {opened} of {len(outcomes)} places"))
    return refused


def place_of(proxy: str) -> str:
    """HOST:PORT of a proxy's URL, without the name and password that may stand in it."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return f"{parts.hostname or '?'}:{_port(proxy)}"


async def connect_through(proxy: str, target: Target, *, seconds: float = PROXY_SECONDS) -> Outcome:
    """What a CONNECT (RFC 9110, 9.3.6) for the target comes to."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(parts.hostname, _port(proxy))
    except (OSError, TimeoutError):
        return "dead"
    try:
        async with asyncio.timeout(seconds):
            writer.write(_request(target, parts.username, parts.password))
            line = await reader.readline()
    except (OSError, TimeoutError, ValueError):
        return "silent"
    finally:
        writer.close()
    return read_status(line[:MAX_HEAD])


def read_status(line: bytes) -> Outcome:
    """The outcome by the first line of a proxy's answer."""
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return "no proxy" if line else "silent"
    status = int(words[1])
    if 200 <= status < 300:
        return "tunnel"
    if status == 407:
        return "password"
    if status in (403, 401, 451):
        return "forbidden"
    return "unreachable" if status >= 500 else "no proxy"


def _judge_place(where: str, target: Target, how: Outcome) -> Finding | None:
    if how == "forbidden":
        cure = "ask whoever runs it to allow that port; most allow 443 only, so prefer wss://"
        return problem(AREA, f"{where} forbids tunnels to {target}", cure)
    if how in ("unreachable", "silent", "no proxy"):
        cure = "see whether that place runs, and whether its address is right"
        return warning(AREA, f"{where} cannot reach {target}", cure)
    return None


def _request(target: Target, user: str | None, password: str | None) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    head = f"CONNECT {host}:{target.port} HTTP/1.1\r\nHost: {host}:{target.port}\r\n"
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}"
        head += f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
    return f"{head}\r\n".encode()


def _of_environment(environ: Mapping[str, str]) -> str:
    return next((environ[name] for name in VARIABLES if environ.get(name)), "")


def _port(proxy: str) -> int:
    try:
        return urlsplit(proxy if "://" in proxy else f"http://{proxy}").port or 80
    except ValueError:
        return 80
