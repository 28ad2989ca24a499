"""What `electrons up` says once it runs: as lines for people, as one JSON line for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Banner:
    """A started node in a few facts. Texts are one line each."""

    node_id: str
    http: str
    """URL of the HTTP API, the console and the gateway, for programs on this machine."""
    mesh: str
    """HOST:PORT where links are taken, as bound."""
    state: str
    """starting, first, isolated, joined or draining."""
    network: str = ""
    join: str = ""
    """ID@HOST:PORT that another machine can join with; "" when there is no such address."""
    hardware: str = ""
    models: tuple[str, ...] = ()
    """Ids of the models this node serves itself."""
    notes: tuple[str, ...] = ()
    """What the user should know: an engine that does not answer, a role not yet built."""
    https: str = ""
    """The same for others, where the port speaks TLS."""


STATES = {
    "first": "first of its network: no other node was found",
    "isolated": "no node of the network answers; it keeps trying",
    "joined": "joined",
    "starting": "looking for other nodes",
    "draining": "draining",
}


def ready_line(banner: Banner, pid: int, version: str) -> str:
    """One JSON object on one line; programs that start nodes read it."""
    facts = {**asdict(banner), "pid": pid, "version": version}
    return json.dumps(facts, ensure_ascii=False)


def render_banner(banner: Banner, version: str, *, flags: str = "") -> str:
    """The lines for people: what runs, where, and what to do next.

    `flags` is what other commands need to find this node, such as "--data-dir /srv/b".
    """
    lines = [f"electrons {version}", *_facts(banner), "", "Ask it:", *_curl(banner)]
    lines.append(f'  or: electrons generate {flags + " " if flags else ""}"Hello"')
    if banner.join:
        here = banner.join.rpartition("@")[2].startswith(("127.", "[::1]", "localhost:"))
        lines.append("Join on this machine:" if here else "Join from another machine:")
        own = " --data-dir ANOTHER --http 127.0.0.1:0 --mesh 127.0.0.1:0" if here else ""
        lines.append(f"  electrons up --join {banner.join}{own}")
    lines.append("Ctrl-C stops it.")
    return "\n".join(lines)


def _facts(banner: Banner) -> list[str]:
    rows = [
        ("node", banner.node_id),
        ("network", f"{banner.network} ({STATES.get(banner.state, banner.state)})"),
        ("http", f"{banner.http} (API, console at /)"),
        ("https", banner.https and f"{banner.https} (for other machines)"),
        ("mesh", banner.mesh),
        ("hardware", banner.hardware),
        ("models", ", ".join(banner.models) or "none here; those of the mesh can be used"),
        *(("note", note) for note in banner.notes),
    ]
    return [f"  {label:<9} {text}" for label, text in rows if text]


def _curl(banner: Banner) -> list[str]:
    body = '{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
    return [
        f"  curl -N {banner.http}/v1/chat/completions -H 'content-type: application/json' \\",
        f"    -d '{body}'",
    ]
