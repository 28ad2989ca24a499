"""One episode: a group is founded, suffers, is healed, and must have kept every promise."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from random import Random

from chaos.consensus.cluster import Cluster
from chaos.consensus.faults import NO_FAULT, Fault
from chaos.consensus.invariants import Violated
from chaos.consensus.linearizable import find_nonlinear_key
from chaos.consensus.nemesis import PROFILES, Nemesis, Profile
from coordinator.consensus.membership import Change
from mesh.errors import ElectronsError, NoQuorum

SETTLING = 1.0
"""Seconds for the group to grow before misfortunes begin."""
SUFFERING = 3.0
HEALING = 12.0
"""Seconds within which a healed group must serve again; members' clocks differ by 20 %."""
WIRE_EVERY = 8
"""One episode in so many sends its messages as bytes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an episode did. `broken`: the promise that was broken, in words; None is good."""

    seed: int
    broken: str | None
    calls: int
    done: int
    committed: int
    terms: int


def run_episode(seed: int, fault: Fault = NO_FAULT, profile: Profile | None = None) -> Outcome:
    """Run one; the same arguments always do the same. Without a profile the seed draws one."""
    rng = Random(seed)
    drawn = rng.choice(list(PROFILES))
    nodes = rng.choice((1, 2, 3, 3, 3, 4, 5, 5, 7))
    on_wire = seed % WIRE_EVERY == 0
    cluster = Cluster(rng, nodes=nodes, habits=fault.habits, on_wire=on_wire)
    broken = None
    with fault.installed():
        try:
            _live(cluster, fault, profile or fault.profile or drawn)
        except (AssertionError, ElectronsError, ValueError) as error:
            broken = f"{type(error).__name__}: {error}"
    history = cluster.history
    if broken is None and (key := find_nonlinear_key(history.operations())) is not None:
        broken = f"register {key} is not linearisable"
    done = sum(call.outcome == "done" for call in history.calls)
    highest = cluster.invariants.highest
    terms = max(cluster.invariants.leaders, default=0)
    return Outcome(seed, broken, len(history.calls), done, highest, terms)


def _live(cluster: Cluster, fault: Fault, profile: Profile) -> None:
    for member in cluster.members.values():
        member.disk.forgets_votes = fault.forgets_votes
    cluster.found()
    _grow(cluster)
    nemesis = Nemesis(cluster, profile)
    end = cluster.now + SUFFERING
    nemesis.go_on(end)
    _plan_calls(cluster, end)
    cluster.run_until(end)
    nemesis.heal()
    cluster.network.calm()
    _require_service(cluster)


def _grow(cluster: Cluster) -> None:
    """Make up to five voters, one after the other."""
    changes: list[tuple[Change, int]] = [("add", place) for place in range(1, len(cluster.nodes))]
    changes += [("promote", place) for place in range(1, min(5, len(cluster.nodes)))]
    steps = iter(changes)
    step = next(steps, None)
    deadline = cluster.now + 20
    while step is not None and cluster.now < deadline:
        cluster.run_until(cluster.now + 0.05)
        found = cluster.raft_of_leader()
        if found is None:
            continue
        member, raft = found
        try:
            raft.change_members(step[0], cluster.nodes[step[1]], member.now)
        except NoQuorum:
            continue
        member.pump()
        step = next(steps, None)


def _plan_calls(cluster: Cluster, end: float) -> None:
    rng, when = cluster.rng, cluster.now
    while (when := when + rng.expovariate(1 / 0.03)) < end:
        cluster.at(when, lambda: _call(cluster))


def _call(cluster: Cluster) -> None:
    rng = cluster.rng
    leaders = [member.node for member, _ in cluster.would_be_leaders()]
    node = rng.choice(leaders if leaders and rng.random() < 0.7 else cluster.nodes)
    kind = "write" if rng.random() < 0.5 else "read"
    call = cluster.history.begin("write" if kind == "write" else "read", rng.choice("ab"))
    cluster.call(call, node)


def _require_service(cluster: Cluster) -> None:
    """A healed group elects a leader, commits, and brings all members to the same state."""
    deadline = cluster.now + HEALING
    probe, asked = None, None
    while cluster.now < deadline:
        cluster.run_until(cluster.now + 0.1)
        _readmit(cluster)
        found = cluster.raft_of_leader()
        if found is None or any(member.raft is None for member in cluster.members.values()):
            continue
        if probe is None or probe.outcome != "done" or asked != found[0].node:
            probe, asked = cluster.history.begin("write", "a"), found[0].node
            cluster.call(probe, asked)
        elif probe.outcome == "done" and _agrees(cluster):
            return
    raise Violated("the healed group does not serve")


def _readmit(cluster: Cluster) -> None:
    """What an operator does with a member that lost its disk: a standby first, then a voter."""
    found = cluster.raft_of_leader()
    if found is None:
        return
    leader, raft = found
    members = raft.status(leader.now).members
    for node in members.voters + members.standbys:
        candidate = cluster.members[node]
        if candidate.was_wiped and (node in members.voters) == bool(candidate.disk.lost):
            change: Change = "demote" if candidate.disk.lost else "promote"
            with contextlib.suppress(NoQuorum):
                raft.change_members(change, node, leader.now)
    leader.pump()


def _agrees(cluster: Cluster) -> bool:
    found = cluster.raft_of_leader()
    if found is None:
        return False
    leader, raft = found
    status = raft.status(leader.now)
    members = status.members.voters + status.members.standbys
    if any(cluster.members[node].disk.lost for node in members):
        return False
    machines = [cluster.members[node].machine for node in members]
    if any(machine.applied != leader.machine.applied for machine in machines):
        return False
    if any(machine.values != leader.machine.values for machine in machines):
        raise Violated("members that applied the same differ")
    return True
