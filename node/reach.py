"""Whether and how nodes elsewhere reach this one: built here, and put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dht.dial_back import DialBack
from dht.reach_verdict import ReachState
from dht.reachability import Reachability, ReachSetting
from mesh.clock import Clock
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.ports import StreamKind
from node.port_mapping import PortMapping
from node.upnp_router import UpnpRouter, is_installed

_TEXTS: Mapping[ReachState, str] = {
    "unknown": "not known yet: no other node has tried to reach this one",
    "local": "reached within its own networks; nobody outside them was there to try",
    "public": "reached from outside at an address of its own",
    "mapped": "reached from outside at an address of its router",
    "private": "not reached from outside: a router or firewall lets nobody in",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """What is known of this node's reach, and what it does for others to learn theirs."""

    known: Reachability
    dial_back: DialBack
    mapping: PortMapping | None
    """None: no router is asked for a port."""

    def start(self) -> None:
        """Begin to ask peers, and the router when they say that nobody gets in."""
        self.known.start()
        if self.mapping is not None:
            self.mapping.start()

    async def close(self) -> None:
        """Take back what the router forwards, in a second or two. The tasks are closed."""
        if self.mapping is not None:
            await self.mapping.close()

    def facts(self) -> Mapping[str, Any]:
        """For the API: the state, addresses by which others reach this node, words for people."""
        known = self.known
        return {
            "state": known.state,
            "addresses": list(known.outside_addresses),
            "text": self._text(),
        }

    def _text(self) -> str:
        known, mapping = self.known, self.mapping
        text = describe_reach(known.state, known.setting, known.finding.voices)
        if mapping is None:
            return text
        forwarded = f"; the router forwards port {mapping.outer}" if mapping.outer else ""
        return text + (f"; {mapping.refusal}" if mapping.refusal else forwarded)

    def counters(self) -> Mapping[str, float]:
        """Figures for /metrics, by name."""
        state = {"reach_private": float(self.known.state == "private")}
        asked = {f"reach_{name}_total": n for name, n in asdict(self.known.counters).items()}
        served = asdict(self.dial_back.counters).items()
        return {**state, **asked, **{f"dial_back_{name}_total": number for name, number in served}}


def build_reach(
    *,
    links: LinkPool,
    setting: ReachSetting,
    claimed: Sequence[str],
    port_mapping: bool,
    clock: Clock,
    tasks: Tasks,
) -> Reach:
    """Serves dial-backs from now on; `known` is yet to be started."""
    known = Reachability(
        links=links,
        listening=lambda: links.addresses,
        clock=clock,
        tasks=tasks,
        setting=setting,
        claimed=claimed,
    )
    dial_back = DialBack(clock=clock)
    links.serve(StreamKind.REACH, dial_back.serve)
    mapping = None
    if port_mapping and setting == "auto" and is_installed():
        mapping = PortMapping(
            reach=known, router=UpnpRouter(), port=lambda: links.port, tasks=tasks
        )
    return Reach(known, dial_back, mapping)


def describe_reach(state: ReachState, setting: ReachSetting, voices: int) -> str:
    """One sentence for people. Pure."""
    if setting != "auto":
        return f"taken for {setting}: the setting reach says so"
    if not voices:
        return _TEXTS[state]
    return f"{_TEXTS[state]} ({voices} node{'s' * (voices != 1)} tried)"
