"""Every two private nodes do jobs for each other: `python -m chaos.reach`.

Homes behind routers of each kind and two public nodes. First the public nodes relay nothing, and
no private pair may be able to do a job; then they do, and every pair must, both ways. All that
crosses a relay is captured and searched for the prompt and the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.load import percentile
from chaos.capture import Capture, count_bytes, find
from chaos.lab_engine import CANARY
from chaos.nat_rules import NatKind
from chaos.network_lab import enter
from chaos.reach_nodes import ReachMesh, Site, Told, ask, reach_mesh, tell

PROMPT: Final = "the-question-that-nobody-on-the-way-may-read"
KINDS: Final = {
    "cone-a": NatKind.CONE,
    "cone-b": NatKind.CONE,
    "symmetric": NatKind.SYMMETRIC,
    "noudp": NatKind.NOUDP,
    "carrier": NatKind.CONE,
    "office": NatKind.PROXY,
}
WITHOUT: Final = ("--roles", "gateway")
WITH: Final = ("--roles", "gateway,relay")
KNOWN_SECONDS = 60.0
"""For all nodes to know all models, on a busy machine."""
UNREACHED_SECONDS = 8.0
"""A job without a way fails, or has not begun after this."""
RELAY_LOSS = 3.0
"""Seconds: within which a stream goes on when its relay is killed."""
ADDRESS_SECONDS = 30.0
"""Within which a node whose outside address changed is reached again."""
DEMOS = 2
"""Homes with the demo model, whose answers go on elsewhere: the last home asks them."""
STREAM_TOKENS = 90
IP_ADDRESSES: Final = slice(26, 34)
"""Source and target in an Ethernet frame with IPv4."""
SETTLE_SECONDS = 60.0
"""For nodes to have two relays, also after one died and came back."""


@dataclass
class Tally:
    """What was seen."""

    jobs: int = 0
    unreached_before: int = 0
    """Ordered pairs that could not do a job without relays."""
    reached_before: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    first_after: list[float] = field(default_factory=list)
    """Seconds to the first token of each pair's first job."""
    known_after: float = 0.0
    relayed_after: float = 0.0
    """And until all see all at two relays."""
    relayed: dict[str, dict[str, float]] = field(default_factory=dict)
    direct: list[str] = field(default_factory=list)
    """Pairs whose link no relay carries after all jobs."""
    plaintext: list[str] = field(default_factory=list)
    captured_bytes: int = 0
    frames_lost: int = 0
    planted_found: bool = False
    relay_gaps: list[float] = field(default_factory=list)
    resumed: int = 0
    relays_again: list[float] = field(default_factory=list)
    """Seconds from a relay's return until others see every private node at two relays."""
    new_address_after: float | None = None

    def report(self) -> dict[str, Any]:
        """All as plain data."""
        return {
            "pairs_without_a_way_before": self.unreached_before,
            "reached_without_relays": self.reached_before,
            "known_after_seconds": round(self.known_after, 2),
            "at_two_relays_after_seconds": round(self.relayed_after, 2),
            "jobs": self.jobs,
            "failures": self.failures[:20],
            "first_token_p50_seconds": round(percentile(self.first_after, 50), 3),
            "first_token_longest_seconds": round(max(self.first_after, default=0.0), 3),
            "relays": self.relayed,
            "direct_pairs": self.direct,
            "plaintext_at_relays": self.plaintext,
            "captured_bytes": self.captured_bytes,
            "frames_lost_by_the_capture": self.frames_lost,
            "planted_plaintext_found": self.planted_found,
            "gaps_when_a_relay_is_killed_seconds": [round(gap, 3) for gap in self.relay_gaps],
            "streams_resumed": self.resumed,
            "two_relays_again_seconds": [round(seconds, 2) for seconds in self.relays_again],
            "reached_after_a_new_address_seconds": self.new_address_after,
        }


def faults(report: dict[str, Any], pairs: int, jobs: int) -> list[str]:
    """What a report says that must not be; times are not judged here."""
    circuits = sum(figures.get("circuits", 0) for figures in report["relays"].values())
    wrong = {
        "a private pair did jobs without relays": report["reached_without_relays"],
        "a pair was not tried without relays": report["pairs_without_a_way_before"] != pairs,
        "not all jobs were done": report["failures"] or report["jobs"] < jobs,
        "relays counted no circuits": not circuits,
        "a relay saw what it carried": report["plaintext_at_relays"],
        "the capture lost frames or saw nothing": (
            report["frames_lost_by_the_capture"] or not report["captured_bytes"]
        ),
        "the search does not find plaintext that is there": not report["planted_plaintext_found"],
    }
    return [what for what, is_so in wrong.items() if is_so]


async def try_without(kinds: tuple[tuple[str, NatKind], ...], tally: Tally) -> None:
    """No relay: every private pair must fail."""
    async with reach_mesh(2, kinds, WITHOUT) as mesh:
        await mesh.start()
        # Private nodes forget whom they cannot reach, and hear of them again, for ever.
        await mesh.until_known(mesh.public, KNOWN_SECONDS)
        tell("without relays")
        answers = await asyncio.gather(
            *(ask(one, other, PROMPT, patience=UNREACHED_SECONDS) for one, other in mesh.pairs)
        )
        for (one, other), told in zip(mesh.pairs, answers, strict=True):
            tally.unreached_before += bool(told.problem)
            if not told.problem:
                tally.reached_before.append(f"{one.name} asks {other.name}")
        tally.reached_before += [f"{a} is linked to {b}" for a, b in await mesh.linked_pairs()]


async def try_pairs(mesh: ReachMesh, times: int, tally: Tally) -> None:
    """Every pair does jobs, the first one by one so that each finds its way by itself."""
    for one, other in mesh.pairs:
        for number in range(times):
            told = await ask(one, other, f"{PROMPT} {number}")
            tally.jobs += not told.problem
            if not number:
                tally.first_after.append(told.first_after)
            if told.problem or CANARY not in told.text:
                tally.failures.append(f"{one.name} asks {other.name}: {told.problem or told.text}")
        tell(f"{one.name} asks {other.name}: first token {told.first_after:.3f} s {told.problem}")


async def plant(mesh: ReachMesh) -> bool:
    """Whether the search finds a prompt that does cross a relay's network unencrypted."""
    client, relay = mesh.private[0], mesh.public[0]
    with Capture(relay.host.namespace) as capture:
        body = {"model": "none", "messages": [{"role": "user", "content": PROMPT}]}
        url = f"{relay.node.http}/v1/chat/completions"
        async with client.session.post(url, json=body) as answer:
            await answer.read()
    return len(find(capture.frames, PROMPT.encode())) == 1


async def try_captured(mesh: ReachMesh, times: int, tally: Tally) -> None:
    """All pairs, while all that crosses the relays is captured."""
    with ExitStack() as stack:
        captures = [
            (site, stack.enter_context(Capture(site.host.namespace))) for site in mesh.public
        ]
        await try_pairs(mesh, times, tally)
    for site, capture in captures:
        tally.captured_bytes += count_bytes(capture.frames)
        tally.frames_lost += capture.lost
        for word in (PROMPT, CANARY):
            found = find(capture.frames, word.encode())
            tally.plaintext += [f"{site.name}: {word} from {flow}" for flow in found]
        figures = await site.metrics()
        tally.relayed[site.name] = {
            name.removeprefix("relay_"): value
            for name, value in figures.items()
            if name.startswith("relay_")
        }


async def kill_relays(mesh: ReachMesh, times: int, tally: Tally) -> None:
    """Kill the relay that carries a stream of the demo model, midway; then start it again."""
    client = mesh.private[-1]
    expected = await _story(client)
    for _ in range(times):
        stream = asyncio.ensure_future(_story(client))
        await asyncio.sleep(1.0)
        relay = await busiest(mesh.public, client)
        await relay.node.kill()
        told = await stream
        if told.problem or told.text != expected.text:
            tally.failures.append(f"{relay.name} killed: {told.problem or told.text[-60:]!r}")
        tally.relay_gaps.append(told.longest_gap)
        tally.resumed += told.resumed > 0
        tell(f"{relay.name} killed: gap {told.longest_gap:.2f} s, resumed {told.resumed}")
        await relay.node.start([site.node for site in mesh.public if site is not relay])
        tally.relays_again.append(await mesh.until_relayed(SETTLE_SECONDS))


async def _story(client: Site) -> Told:
    prompt = "Tell me a long story about a fox."
    return await ask(client, None, prompt, tokens=STREAM_TOKENS, seed=7)


async def busiest(relays: list[Site], client: Site) -> Site:
    """The relay that exchanges most packets with a home just now: one carries a stream."""
    with ExitStack() as stack:
        captures = [stack.enter_context(Capture(site.host.namespace)) for site in relays]
        await asyncio.sleep(1.0)
    address = socket.inet_aton(client.outside)
    packets = [sum(address in frame[IP_ADDRESSES] for frame in each.frames) for each in captures]
    return relays[packets.index(max(packets))]


async def change_address(one: Site, other: Site, tally: Tally) -> None:
    """Seconds from a new outside address of one home until a job of another's is done there."""
    assert other.home is not None
    other.home.change_address()
    began = time.monotonic()
    told = Told("not asked")
    while told.problem and time.monotonic() - began < ADDRESS_SECONDS:
        told = await ask(one, other, PROMPT, patience=ADDRESS_SECONDS)
    tally.new_address_after = round(time.monotonic() - began, 2)
    tell(f"new address: reached after {tally.new_address_after} s {told.problem}")
    if told.problem:
        tally.failures.append(f"after a new address: {told.problem}")


async def run(kinds: tuple[tuple[str, NatKind], ...], times: int, kills: int) -> Tally:
    """Both meshes, one after the other."""
    tally = Tally()
    await try_without(kinds, tally)
    async with reach_mesh(2, kinds, WITH, DEMOS) as mesh:
        await mesh.start()
        tally.known_after = await mesh.until_known(mesh.private, KNOWN_SECONDS)
        tally.relayed_after = await mesh.until_relayed(SETTLE_SECONDS)
        await try_captured(mesh, times, tally)
        tally.direct = await mesh.direct_pairs()
        tally.planted_found = await plant(mesh)
        await kill_relays(mesh, kills, tally)
        await change_address(*mesh.pairs[0], tally)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=20, help="jobs of each pair, each way")
    parser.add_argument("--kills", type=int, default=5, help="relays killed under a stream")
    parser.add_argument("--homes", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    enter("chaos.reach", sys.argv[1:], routers=True)
    args = parser.parse_args()
    kinds = tuple((name, KINDS[name]) for name in args.homes.split(","))
    pairs = len(kinds) * (len(kinds) - 1)
    tally = asyncio.run(run(kinds, args.times, args.kills))
    report = tally.report()
    wrong = faults(report, pairs, pairs * args.times)
    late = [gap for gap in tally.relay_gaps if gap > RELAY_LOSS]
    print(json.dumps({"homes": list(dict(kinds)), **report, "faults": wrong}, indent=1))
    return 1 if wrong or late else 0


if __name__ == "__main__":
    sys.exit(main())
