"""Who should be a member: what a leader changes next. Pure.

Up to five voters, an odd number, all of them heard; every other coordinator stands by with a copy.
A voter that is silent gives its seat to a standby that has everything. One that lost its state is
made a standby first, which clears it (see `coordinator.consensus`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from coordinator.consensus.entry import MAX_STANDBYS, MAX_VOTERS, Members
from coordinator.consensus.membership import Change
from coordinator.consensus.ready import PeerSight
from mesh.ids import NodeId

HEARD = 1.0
"""Seconds of silence up to which a member is held to be there."""
SILENT_VOTER = 5.0
"""Seconds of silence after which a voter's seat goes to another."""
SILENT_STANDBY = 600.0
"""Seconds of silence after which a standby is taken off the list."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the list."""

    change: Change
    node: NodeId


def plan_change(
    own: NodeId,
    members: Members,
    seen: Mapping[NodeId, PeerSight],
    granted: Collection[NodeId],
    *,
    caught_up: int,
) -> Step | None:
    """The next change, or None when all is well.

    `granted` are the linked nodes with a valid coordinator grant; `caught_up` is how many entries a
    new voter may be behind.
    """
    ready = [
        node
        for node in sorted(members.standbys)
        if (peer := seen.get(node)) and node in granted
        if _is_heard(peer) and peer.behind <= caught_up
    ]
    steps = (
        _drop_lost(members, seen),
        _replace_silent(own, members, seen, ready),
        _fill_seats(own, members, seen, ready),
        _take_in(own, members, granted),
        _forget(members, seen, granted),
    )
    return next((step for step in steps if step and _is_safe(step, own, members, seen)), None)


def _is_heard(peer: PeerSight | None) -> bool:
    return peer is not None and peer.counts and peer.silence < HEARD


def _is_safe(step: Step, own: NodeId, members: Members, seen: Mapping[NodeId, PeerSight]) -> bool:
    """Whether a majority of the voters after the step is heard and counts."""
    voters = set(members.voters)
    if step.change == "promote":
        voters.add(step.node)
    elif step.change == "demote":
        voters.remove(step.node)
    heard = sum(node == own or _is_heard(seen.get(node)) for node in voters)
    return 2 * heard > len(voters)


def wanted_voters(available: int) -> int:
    """The largest odd number of voters out of so many coordinators, at most MAX_VOTERS."""
    return min(MAX_VOTERS, available - 1 + available % 2)


def _drop_lost(members: Members, seen: Mapping[NodeId, PeerSight]) -> Step | None:
    for node in members.voters:
        peer = seen.get(node)
        if peer is not None and not peer.counts and peer.silence < SILENT_VOTER:
            return Step("demote", node)
    return None


def _replace_silent(
    own: NodeId, members: Members, seen: Mapping[NodeId, PeerSight], ready: list[NodeId]
) -> Step | None:
    silent = [
        node
        for node in members.voters
        if node != own and (peer := seen.get(node)) and peer.silence >= SILENT_VOTER
    ]
    if not silent:
        return None
    if len(members.voters) > wanted_voters(len(members.voters)):  # its successor has come in
        return Step("demote", max(silent, key=lambda node: seen[node].silence))
    if not ready:
        return None
    if len(members.voters) < MAX_VOTERS:
        return Step("promote", ready[0])
    return Step("demote", max(silent, key=lambda node: seen[node].silence))


def _fill_seats(
    own: NodeId, members: Members, seen: Mapping[NodeId, PeerSight], ready: list[NodeId]
) -> Step | None:
    """Standbys that are heard count even while they catch up: nobody leaves for their sake.

    An even number of voters needs one more answer and survives no more deaths: it is passed
    through only when the next one is ready, too.
    """
    voters = len(members.voters)
    heard = sum(
        (peer := seen.get(node)) is not None and peer.silence < SILENT_VOTER
        for node in members.standbys
    )
    target = wanted_voters(voters + heard)
    if voters < target and len(ready) >= 1 + voters % 2:
        return Step("promote", ready[0])
    if voters > target and voters % 2 == 0:  # half a step remained when a standby went away
        others = sorted(node for node in members.voters if node != own)
        return Step("demote", others[-1])
    return None


def _take_in(own: NodeId, members: Members, granted: Collection[NodeId]) -> Step | None:
    known = {own, *members.voters, *members.standbys}
    if len(members.standbys) >= MAX_STANDBYS:
        return None
    newcomers = sorted(node for node in granted if node not in known)
    return Step("add", newcomers[0]) if newcomers else None


def _forget(
    members: Members, seen: Mapping[NodeId, PeerSight], granted: Collection[NodeId]
) -> Step | None:
    """One that is linked stays, however long it takes to answer for the first time."""
    for node in sorted(members.standbys):
        peer = seen.get(node)
        if peer is not None and peer.silence >= SILENT_STANDBY and node not in granted:
            return Step("remove", node)
    return None
