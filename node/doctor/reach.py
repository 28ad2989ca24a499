"""How others reach this node, and through which relays: as the running node says it."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from node import upnp_router
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.outbound import try_tcp
from node.doctor.patient import Patient
from node.doctor.targets import Target, relays_of

REACH = "reachability"
RELAYS = "relays"
NO_NODE = "No node answers here: only a running one is tried from outside by its peers"
FORWARD = "switch on UPnP in the router, or forward the mesh port there, for direct links"


async def examine_reach(patient: Patient) -> Sequence[Finding]:
    """See `judge_reach`."""
    if patient.answer is None:
        return [skipped(REACH, NO_NODE, "start it with 'electrons up' and run the doctor again")]
    relayed = any(text.startswith("relay://") for text in _addresses(patient.answer))
    state = _state(patient.answer)
    return (judge_reach(state, relayed=relayed), *judge_extras(state, _lacking_extras(patient)))


async def examine_relays(patient: Patient) -> Sequence[Finding]:
    """See `judge_relays`."""
    if patient.answer is None:
        return [skipped(RELAYS, "No node answers here, so its relays are not known")]
    relays = relays_of(patient)
    answers = await asyncio.gather(*(try_tcp(relay.host, relay.port) for relay in relays))
    reached = {relay: answer == "open" for relay, answer in zip(relays, answers, strict=True)}
    return judge_relays(reached, _state(patient.answer))


def judge_reach(state: str, *, relayed: bool) -> Finding:
    """What the node's state means for its owner."""
    match state:
        case "public":
            return ok(REACH, "Others reach this node directly")
        case "mapped":
            return ok(REACH, "Others reach this node through a port that the router forwards")
        case "local":
            return ok(REACH, "Nodes of this network reach it; nobody outside has tried yet")
        case "private" if relayed:
            return ok(REACH, "Nobody reaches this node directly (NAT or firewall); relays carry it")
        case "private":
            what = "Nobody reaches this node directly, and it has no relay"
            return warning(REACH, what, f"{FORWARD}; the mesh needs a node with the relay role")
        case "unknown":
            return skipped(REACH, "Peers have not tried to reach this node yet", "wait a minute")
    return skipped(REACH, "The running node does not say how it is reached")


def judge_extras(state: str, lacking: Mapping[str, str]) -> tuple[Finding, ...]:
    """`lacking`: what a wanted extra that is not installed would do, by its name."""
    if state != "private":
        return ()
    return tuple(
        warning(
            REACH,
            f"The extra {extra} is not installed, which {would}",
            f"run: pip install 'distributed-electrons[{extra}]'",
        )
        for extra, would in lacking.items()
    )


def judge_relays(reached: Mapping[Target, bool], state: str) -> tuple[Finding, ...]:
    """Whether those that carry this node's links answer."""
    if not reached:
        why = "The node uses no relay" + (
            ": it needs none" if state in ("public", "mapped") else ""
        )
        return (skipped(RELAYS, why),)
    dead = [relay for relay, answers in reached.items() if not answers]
    if len(dead) == len(reached):
        what = f"None of the {len(reached)} relays answers"
        return (problem(RELAYS, what, "see the findings on ways out; the node looks for others"),)
    found = [
        warning(RELAYS, f"The {relay} does not answer", "nothing: the node replaces it by itself")
        for relay in dead
    ]
    count = len(reached) - len(dead)
    return (*found, ok(RELAYS, f"{count} of {len(reached)} relays answer"))


def _lacking_extras(patient: Patient) -> Mapping[str, str]:
    config = patient.config
    if config is None:
        return {}
    lacking = {}
    if config.port_mapping and not upnp_router.is_installed():
        lacking["upnp"] = "would ask the router for a port"
    if config.punch and importlib.util.find_spec("iroh") is None:
        lacking["punch"] = "makes relayed links direct where routers let it"
    return lacking


def _state(answer: Mapping[str, Any]) -> str:
    """The word for it, wherever a release tells it."""
    told = answer.get("reach") or answer.get("reachability")
    if isinstance(told, Mapping):
        told = told.get("state")
    return told if isinstance(told, str) else ""


def _addresses(answer: Mapping[str, Any]) -> list[str]:
    return [text for text in answer.get("addresses") or () if isinstance(text, str)]
