"""`electrons status`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json

Row = tuple[str, object]
GIB = 2**30


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = (
        "examples:\n  electrons status\n  electrons status --json --url http://host:7717"
    )
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show what the node is, what it has and what it is busy with."""
    answer = find_node(args).get("/api/node")
    if args.json:
        say_json(answer)
    else:
        say(render_rows(list(status_rows(answer))))
    return ExitCode.OK


def status_rows(node: Mapping[str, Any]) -> Iterator[Row]:
    """Label and text of every line; facts the node does not tell are left out. Pure."""
    yield "node", node.get("node_id", "")
    state, reason = node.get("state", "unknown"), node.get("reason")
    yield "state", f"{state}: {reason}" if reason else state
    yield from _rows("takes jobs", [availability_text(node.get("availability"))])
    yield from _rows("limits", [limits_text(node.get("limits"))])
    yield from _rows("version", [node.get("version")])
    yield from _rows("network", [node.get("network")])
    yield from _rows("addresses", node.get("addresses") or ())
    yield from _rows("reach", [reach_text(node.get("reach"))])
    yield from _rows("relays", relay_texts(node.get("relays") or {}))
    yield from _rows("roles", [", ".join(node.get("roles") or ())])
    unbuilt = ", ".join(node.get("unbuilt_roles") or ())
    yield from _rows("not built", [unbuilt and f"{unbuilt}: not in this release, not advertised"])
    yield from _rows("hardware", [_hardware(node.get("hardware"))])
    yield from _rows("models", [_model(model) for model in node.get("models") or ()])
    aliases = (node.get("aliases") or {}).items()
    yield from _rows("aliases", [f"{alias} -> {model}" for alias, model in aliases])
    yield from _rows("links", [str(node.get("links", ""))])
    yield "jobs", _jobs(node)
    held = (node.get("doors") or {}).get("held") or {}
    yield from _rows("public door", [held.get("url")])
    yield from _rows("notes", node.get("notes") or ())


def availability_text(availability: Mapping[str, Any] | None) -> str:
    """Whether jobs are taken and when that changes, in the reader's own time; "" if not told."""
    if availability is None:
        return ""
    until = f", until {_local(availability['until'])}" if availability.get("until") else ""
    return f"yes{until}" if availability.get("open") else f"no: {availability['reason']}{until}"


def reach_text(reach: Mapping[str, Any] | None) -> str:
    """Whether nodes elsewhere reach this one, and where; "" if not told."""
    if reach is None:
        return ""
    places = ", ".join(reach.get("addresses") or ())
    return f"{reach['state']}: {reach['text']}" + (f": {places}" if places else "")


def relay_texts(relays: Mapping[str, Any]) -> Iterator[str]:
    """Through whom the node is reached, which links pass a relay, what it relays for others."""
    if used := relays.get("used"):
        yield f"reached through {', '.join(node[:8] for node in used)}"
    if relayed := relays.get("relayed"):
        yield f"relayed links to {', '.join(node[:8] for node in relayed)}"
    if serving := relays.get("serving"):
        yield f"serves {serving['reservations']} nodes, {serving['circuits']} circuits"


def limits_text(limits: Mapping[str, Any] | None) -> str:
    """The limits that are set, in one line; "" for none."""
    given = {name: most for name, most in (limits or {}).items() if most is not None}
    words = []
    if slots := given.get("slots"):
        words.append(f"{slots} job{'s' * (slots != 1)} at once")
    for name, what in (("memory", "memory"), ("gpu_memory", "graphics memory")):
        if name in given:
            words.append(f"{given[name] / GIB:.1f} GiB {what}")
    return ", ".join(words)


def _local(moment: str) -> str:
    """Short for today, with the day otherwise."""
    then = datetime.fromisoformat(moment).astimezone()
    today = then.date() == datetime.now().astimezone().date()
    return then.strftime("%H:%M" if today else "%a %Y-%m-%d %H:%M")


def _rows(label: str, texts: Iterable[str | None]) -> Iterator[Row]:
    """One row a text, the label on the first only; none for nothing."""
    for text in texts:
        if text:
            yield label, text
            label = ""


def _model(model: Mapping[str, Any]) -> str:
    ref = model.get("ref") or {}
    slots = f", {model['slots']} at once" if model.get("slots") else ""
    speed = f", {model['speed']:.0f} tokens/s" if model.get("speed") else ""
    return f"{ref.get('name', '')} ({ref.get('engine', '')}{slots}{speed})"


def _jobs(node: Mapping[str, Any]) -> str:
    load = node.get("load") or {}
    slots = f" of {load['slots']}" if load.get("slots") else ""
    queued = f", {load['queued']} queued" if load.get("queued") else ""
    asked = (node.get("gateway") or {}).get("in_flight", 0)
    return f"{node.get('in_flight', 0)}{slots} running here{queued}; {asked} asked through here"


def _hardware(hardware: Mapping[str, Any] | None) -> str:
    """Cores, memory and accelerators in one line."""
    facts = hardware or {}
    words = []
    if processor := facts.get("processor"):
        words.append(f"{processor.get('usable_cores', 0):g} cores ({processor.get('model', '')})")
    if memory := facts.get("memory"):
        usable = min(memory.get("total") or 0, memory.get("limit") or memory.get("total") or 0)
        words.append(f"{usable / GIB:.1f} GiB memory")
    cards = facts.get("accelerators") or ()
    words += [str(card.get("name")) for card in cards if card.get("kind") != "display"]
    return ", ".join(words)
