"""Learns by asking peers where this node can be dialled, and says which addresses to tell others.

Nobody's word counts alone where there are others to ask (`dht.reach_verdict`). What is told: the
addresses found to work from elsewhere, those of private networks for peers in the same one, and
what other sources add, such as relays. Until something is known, all that the machine has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from dht.reach_verdict import (
    UNKNOWN,
    Finding,
    ReachState,
    Sighting,
    judge,
    outside_hosts,
)
from dht.witnesses import Witnesses
from mesh.clock import Clock
from mesh.errors import LinkError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.address_choice import OwnPlace
from mesh.links.addresses import own_interfaces
from mesh.links.hosts import Interface, host_of, is_inside, plain_host, tcp_host
from mesh.links.pipe import Address
from mesh.ports import Link, Links, StreamKind
from mesh.wire.fields import MAX_ADDRESSES
from mesh.wire.reach import ReachMe, decode_seen, encode_reach_me

log = logging.getLogger(__name__)

ReachSetting = Literal["auto", "public", "private"]

ASK_TIMEOUT = 8.0
"""Seconds for a peer to dial and answer; it gives up after 3."""
SETTLE = 0.3
"""Seconds in which several new links are taken together."""
LOOK_EVERY = 5.0
"""Seconds between looks at whether this machine has moved."""
MAX_ADDED = 4
"""Addresses taken from one other source."""
MAX_NEAR = 4
"""Addresses of private networks that are told, so that table records have room for relays."""
DIRECT_PATIENCE = 4.0
"""Seconds with links through proxies only, until nobody is expected to come in directly."""


@dataclass(slots=True)
class ReachCounters:
    """For metrics."""

    questions: int = 0
    unanswered: int = 0
    findings: int = 0
    """Times that something else was found than before."""


class Reachability:
    """Call `start` once the links listen; the owner closes `tasks`.

    `listening` tells the URLs of the listening socket. `setting` other than auto overrides what is
    found: then peers are asked only where they see this node.
    """

    def __init__(
        self,
        *,
        links: Links,
        listening: Callable[[], Sequence[str]],
        clock: Clock,
        tasks: Tasks,
        rng: Random | None = None,
        setting: ReachSetting = "auto",
        claimed: Sequence[str] = (),
        interfaces: Callable[[], tuple[Interface, ...]] = own_interfaces,
    ) -> None:
        self._links = links
        self._listening = listening
        self._clock = clock
        self._tasks = tasks
        self._rng = rng or Random()
        self.setting: ReachSetting = setting
        self.claimed = tuple(claimed)
        """Addresses that the owner vouches for: told, and not asked about."""
        self._read_interfaces = interfaces
        self._interfaces: tuple[Interface, ...] = ()
        self._witnesses = Witnesses()
        self._sources: list[Callable[[], Sequence[str]]] = []
        self._watchers: list[Callable[[], object]] = []
        self._outer_port = 0
        self._detours_since: float | None = None
        self._told: tuple[ReachState, tuple[str, ...]] | None = None
        self._wake = asyncio.Event()
        self.finding: Finding = UNKNOWN
        self.counters = ReachCounters()

    # ── what is known ───────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> ReachState:
        """Whether and how nodes elsewhere reach this one; what the setting says if it does."""
        return self.finding.state if self.setting == "auto" else self.setting

    @property
    def reachable(self) -> bool:
        """Whether others may be sent here without a relay; so until the contrary is found."""
        return self.state != "private" or bool(self.claimed)

    @property
    def place(self) -> OwnPlace:
        """For choosing among the addresses of peers."""
        seen = outside_hosts(self._witnesses.sightings, self._own_hosts())
        return OwnPlace(self._interfaces, seen or self.finding.outside)

    @property
    def outside_addresses(self) -> tuple[str, ...]:
        """By which nodes elsewhere reach this one directly."""
        found = self._supposed() if self.setting == "public" else ()
        if self.setting == "auto":
            found = self.finding.addresses
        return tuple(dict.fromkeys((*found, *self.claimed)))

    @property
    def addresses(self) -> tuple[str, ...]:
        """What others are told."""
        own = tuple(self._listening())
        if self.state in ("public", "mapped", "private"):
            own = tuple(url for url in own if is_inside(host_of(url) or "::1"))[:MAX_NEAR]
        added = [url for source in self._sources for url in tuple(source())[:MAX_ADDED]]
        direct = list(dict.fromkeys((*self.outside_addresses, *own)))
        return (*direct[: MAX_ADDRESSES - len(added)], *added)

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    def add_source(self, source: Callable[[], Sequence[str]]) -> None:
        """Tell these addresses as well, after all others; call `note_change` when they change."""
        self._sources.append(source)

    def on_change(self, watcher: Callable[[], object]) -> None:
        """Be told when the state or the addresses have changed."""
        self._watchers.append(watcher)

    def start(self) -> None:
        """Begin to ask."""
        self._interfaces = self._read_interfaces()
        self._links.watch(self._on_link)
        self._tasks.supervise(self._run, "reach")

    def note_change(self) -> None:
        """Tell the watchers if what is to be told has changed."""
        told = (self.state, self.addresses)
        if told == self._told:
            return
        self._told = told
        for watcher in self._watchers:
            watcher()

    def expect_port(self, port: int) -> None:
        """A router forwards this port of its own to the mesh port: ask whether it works.

        0: the number is the mesh port's, if any is forwarded.
        """
        self._outer_port = port
        self._start_over()
        self._wake.set()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _on_link(self, link: Link, up: bool) -> None:
        if up:
            self._witnesses.doubt(link.peer)
            self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._look_around()
            hosts = self._hosts()
            chosen = self._witnesses.choose(hosts, self._clock.now(), self._rng)
            if chosen:
                await asyncio.gather(*(self._ask(node, hosts[node]) for node in chosen))
                self._conclude()
                await asyncio.sleep(SETTLE)
            else:
                self._note_detours(hosts)
                self.note_change()
                await self._wait()

    async def _wait(self) -> None:
        patience = min(LOOK_EVERY, self._witnesses.next_due() - self._clock.now())
        try:
            async with asyncio.timeout(max(SETTLE, patience)):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(SETTLE * self._rng.uniform(0.5, 1.5))

    def _hosts(self) -> dict[NodeId, str]:
        """Linked peers that see this node itself and not a proxy or relay, with their hosts."""
        plain = (link for link in self._links.all() if not link.relayed)
        found = ((link.peer, tcp_host(link.remote)) for link in plain)
        return {node: host for node, host in found if host is not None}

    def _own_hosts(self) -> frozenset[str]:
        return frozenset(str(each.ip) for each in self._interfaces)

    def _look_around(self) -> None:
        """With other addresses this machine is elsewhere: what was found binds no more."""
        interfaces = self._read_interfaces()
        if set(interfaces) != set(self._interfaces):
            self._interfaces = interfaces
            self._start_over()
        elif self._witnesses.gone(self._hosts()):
            self._witnesses.hurry()

    def _note_detours(self, hosts: Mapping[NodeId, str]) -> None:
        """Where every link leads through something, nobody can try, and nobody will come in."""
        now = self._clock.now()
        if hosts or not self._links.all() or self.finding.voices:
            self._detours_since = None
        elif self._detours_since is None:
            self._detours_since = now
        elif self.finding == UNKNOWN and now - self._detours_since >= DIRECT_PATIENCE:
            self.counters.findings += 1
            self.finding = Finding("private", at=now)
            log.info("reach state=private before=unknown: every link leads through something")

    def _start_over(self) -> None:
        """Ask everybody anew; what was found holds until then, and binds no more."""
        self._witnesses.forget()
        self.finding = replace(self.finding, voices=0)

    async def _ask(self, node: NodeId, host: str) -> None:
        """Have a peer try; what it says is kept, or that it said nothing."""
        link = self._links.get(node)
        self.counters.questions += 1
        try:
            if link is None:
                raise LinkError("the link has ended")
            data = await link.call(StreamKind.REACH, self._question(), timeout=ASK_TIMEOUT)
            seen = decode_seen(data)
            observed = plain_host(seen.observed)
            if self.setting == "auto" and self._port() and not seen.outcomes:
                raise LinkError("it would not dial now")
        except (LinkError, WireError, TimeoutError, ValueError) as error:
            log.debug("a peer did not tell node=%s cause=%s", node, error)
            self.counters.unanswered += 1
            self._witnesses.fail(node, self._clock.now())
            return
        outcomes = {url: each for url, each in seen.outcomes if url in self._asked(observed)}
        self._witnesses.hear(Sighting(node, host, observed, outcomes, self._clock.now()))

    def _question(self) -> bytes:
        if self.setting != "auto":
            return encode_reach_me(ReachMe())
        return encode_reach_me(ReachMe(self._port(), tuple(self._listening())))

    def _asked(self, observed: str) -> tuple[str, ...]:
        """What a peer that sees this node there may have been asked to dial."""
        return (*self._listening(), str(Address("tcp", observed, self._port())))

    def _port(self) -> int:
        """At which port this node should be found outside; 0 when it does not listen."""
        own = (int(url.rpartition(":")[2]) for url in self._listening() if tcp_host(url))
        return self._outer_port or next(own, 0)

    def _conclude(self) -> None:
        heard = self._witnesses.sightings
        before, now = self.finding, self._clock.now()
        after = self.finding = judge(heard, self._own_hosts(), before, now)
        if (after.state, after.addresses) != (before.state, before.addresses):
            self.counters.findings += 1
            self._witnesses.hurry()
            log.info("reach state=%s before=%s voices=%d", after.state, before.state, after.voices)
        self.note_change()

    def _supposed(self) -> tuple[str, ...]:
        """Where this node should be reached if its owner is right."""
        own = tuple(self._listening())
        seen = [str(Address("tcp", host, self._port())) for host in self.place.outside]
        return tuple(url for url in (*own, *seen) if not is_inside(host_of(url) or "::1"))
