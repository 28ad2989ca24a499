"""`electrons status` shows what /api/node tells, and copes with what it does not."""

from __future__ import annotations

from node.cli.status import status_rows
from node.cli.terminal import render_rows

NODE = {
    "node_id": "ab" * 20,
    "state": "isolated",
    "reason": "no other node answers",
    "version": "0.1.0",
    "network": "local",
    "addresses": ["tcp://10.0.0.5:7718", "tcp://[::1]:7718"],
    "reach": {"state": "mapped", "addresses": ["tcp://203.0.113.5:7718"], "text": "it works"},
    "roles": ["gateway"],
    "unbuilt_roles": ["storage", "relay"],
    "in_flight": 1,
    "load": {"slots": 4, "queued": 2},
    "gateway": {"in_flight": 3},
    "links": 2,
    "models": [{"ref": {"name": "demo", "engine": "demo"}, "slots": 4, "speed": 512.3}],
    "aliases": {"gpt-4o-mini": "demo"},
    "hardware": {
        "processor": {"usable_cores": 2.0, "model": "Some CPU"},
        "memory": {"total": 8 * 2**30, "limit": 4 * 2**30},
        "accelerators": [{"name": "GPU X", "kind": "gpu"}, {"name": "VGA", "kind": "display"}],
    },
    "notes": ["the engine at 127.0.0.1:8000 does not answer"],
}


def test_a_full_answer() -> None:
    assert render_rows(list(status_rows(NODE))).splitlines() == [
        f"node       {'ab' * 20}",
        "state      isolated: no other node answers",
        "version    0.1.0",
        "network    local",
        "addresses  tcp://10.0.0.5:7718",
        "           tcp://[::1]:7718",
        "reach      mapped: it works: tcp://203.0.113.5:7718",
        "roles      gateway",
        "not built  storage, relay: not in this release, not advertised",
        "hardware   2 cores (Some CPU), 4.0 GiB memory, GPU X",
        "models     demo (demo, 4 at once, 512 tokens/s)",
        "aliases    gpt-4o-mini -> demo",
        "links      2",
        "jobs       1 of 4 running here, 2 queued; 3 asked through here",
        "notes      the engine at 127.0.0.1:8000 does not answer",
    ]


def test_an_empty_answer_is_no_error() -> None:
    assert render_rows(list(status_rows({}))).splitlines() == [
        "node",
        "state  unknown",
        "jobs   0 running here; 0 asked through here",
    ]
