"""Who gets how much of a relay, in virtual time."""

from __future__ import annotations

import pytest

from mesh.links import fair_share
from mesh.links.fair_share import FairShare

RATE = 1_000_000.0
CHUNK = 10_000


def run(share: FairShare, wishes: dict[str, float], seconds: float) -> dict[str, float]:
    """Bytes a second that each source gets which wants so many, each sending as it is let."""
    sent = dict.fromkeys(wishes, 0)
    ready = dict.fromkeys(wishes, 0.0)
    now = 0.0
    while now < seconds:
        for source, wish in wishes.items():
            if ready[source] <= now:
                rest = share.take(source, CHUNK, now)
                sent[source] += CHUNK
                ready[source] = now + max(rest, CHUNK / wish)
        now += 0.001
    return {source: size / seconds for source, size in sent.items()}


def test_one_alone_gets_all() -> None:
    assert run(FairShare(RATE), {"a": 10 * RATE}, 10)["a"] == pytest.approx(RATE, rel=0.1)


def test_an_honest_source_keeps_its_own_among_fifty_greedy_ones() -> None:
    wishes = {f"greedy{number}": RATE for number in range(50)} | {"honest": RATE / 60}
    got = run(FairShare(RATE), wishes, 10)
    assert got["honest"] >= 0.8 * RATE / 60
    assert sum(got.values()) <= 1.15 * RATE


def test_greedy_sources_share_evenly() -> None:
    got = run(FairShare(RATE), {"a": 5 * RATE, "b": RATE, "c": RATE}, 10)
    assert max(got.values()) <= 1.1 * min(got.values())


def test_sources_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_share, "MAX_SOURCES", 8)
    share = FairShare(RATE)
    for number in range(100):
        share.take(f"source{number}", 1, number * 0.001)
    assert len(share._accounts) <= 8
