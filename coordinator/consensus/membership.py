"""Changes of who takes part, one member at a time (thesis 4.1, and its fix of 2015).

A node comes in as a standby, which counts for nothing; it becomes a voter only when it was heard
lately and has nearly everything. So an address where nobody answers never counts.
"""

from __future__ import annotations

from typing import Literal

from coordinator.consensus.entry import MAX_STANDBYS, MAX_VOTERS, Members
from coordinator.consensus.parameters import CAUGHT_UP
from coordinator.consensus.ready import Position
from coordinator.consensus.refusal import ChangeRefused, NotLeader
from coordinator.consensus.replication import propose
from coordinator.consensus.state import Peer, State
from mesh.ids import NodeId
from mesh.wire.consensus import pack_members

Change = Literal["add", "promote", "demote", "remove"]
"""`add` makes a standby; `promote` a voter of a standby; `demote` the reverse."""


def change_members(state: State, change: Change, node: NodeId, now: float) -> Position:
    """Put a changed list into the log, in force at once. Raises NotLeader or ChangeRefused."""
    if state.role != "leader":
        raise NotLeader(state.leader)
    if not may_change(state):
        raise ChangeRefused("the change before, or this leader's first entry, is not committed")
    if change == "promote":
        _check_candidate(state, node, now)
    members = changed(state.log.members, change, node)
    _check_reachable(state, members, now)
    position = propose(state, "members", pack_members(members))
    meet_members(state)
    return position


def may_change(state: State) -> bool:
    """Only one change at a time, and only after an entry of the own term is committed.

    Without the second two leaders could act on lists that share no majority
    (Ongaro, raft-dev, July 2015).
    """
    return state.log.members_index <= state.commit and state.commit >= state.term_start


def changed(members: Members, change: Change, node: NodeId) -> Members:
    """The list after the change. Raises ChangeRefused where that makes no sense."""
    voters, standbys = members.voters, members.standbys
    source = {"add": (), "promote": standbys, "demote": voters, "remove": voters + standbys}[change]
    if (node in voters + standbys) if change == "add" else (node not in source):
        raise ChangeRefused(f"{change} does not fit what the node is now")
    other_voters = tuple(voter for voter in voters if voter != node)
    other_standbys = tuple(standby for standby in standbys if standby != node)
    if change == "promote":
        other_voters += (node,)
    elif change in ("add", "demote"):
        other_standbys += (node,)
    if not other_voters:
        raise ChangeRefused("the last voter cannot go")
    if len(other_voters) > MAX_VOTERS or len(other_standbys) > MAX_STANDBYS:
        raise ChangeRefused(f"at most {MAX_VOTERS} voters and {MAX_STANDBYS} standbys")
    return Members(other_voters, other_standbys)


def _check_candidate(state: State, node: NodeId, now: float) -> None:
    peer = state.peers.get(node)
    if peer is None or not _is_reachable(peer, state, now):
        raise ChangeRefused("the standby does not answer, or must not be counted yet")
    if state.log.last - peer.match > CAUGHT_UP:
        raise ChangeRefused("the standby is not caught up")


def _check_reachable(state: State, members: Members, now: float) -> None:
    """No change may leave a majority of voters that do not answer."""
    answering = sum(
        voter == state.node or _is_reachable(state.peers.get(voter), state, now)
        for voter in members.voters
    )
    if answering <= len(members.voters) // 2:
        raise ChangeRefused("no majority of the voters would answer")


def _is_reachable(peer: Peer | None, state: State, now: float) -> bool:
    if peer is None or not peer.counts:
        return False
    return peer.match > 0 and now - peer.heard < state.parameters.election_min


def meet_members(state: State) -> None:
    """Make the leader's peers those of the latest list."""
    members = state.log.members
    others = set(members.voters + members.standbys) - {state.node}
    for node in set(state.peers) - others:
        del state.peers[node]
    for node in sorted(others - set(state.peers)):
        state.peers[node] = Peer(state.log.last)
