"""Who leads: time-outs, pre-vote, votes, the check that a majority still listens, handing over.

    follower --time-out--> pre-candidate --majority would--> candidate --majority did--> leader
        ^------- a leader or a higher term is heard, or the majority falls silent ---------'

Raft section 5.2 and 5.4.1; thesis 3.10 (transfer), 9.6 (pre-vote) and 6.2 (check-quorum).
"""

from __future__ import annotations

from coordinator.consensus.entry import Entry
from coordinator.consensus.refusal import ChangeRefused
from coordinator.consensus.state import Peer, State, become_follower, draw_election, send
from mesh.ids import NodeId
from mesh.wire.consensus import TimeoutNow, VoteAnswer, VoteRequest


def pass_time(state: State, now: float) -> None:
    """Whatever is due at `now`."""
    if state.role == "leader":
        _keep_leading(state, now)
    elif now >= state.election_at:
        if state.may_stand:
            campaign(state, now, pre=True)
        else:
            state.leader = None
            draw_election(state, now)


def _keep_leading(state: State, now: float) -> None:
    if state.successor is not None and now >= state.successor_until:
        state.successor = None
    if not hears_majority(state, now):
        become_follower(state, state.term, None, now)
    elif now >= state.heartbeat_at:
        state.heartbeat_at = now + state.parameters.heartbeat
        state.round += 1
        for peer in state.peers.values():
            peer.due = True
            peer.waiting = False


def hears_majority(state: State, now: float) -> bool:
    """Whether a majority of voters answered within the shortest election time-out."""
    since = now - state.parameters.election_min
    heard = {node: 1 for node, peer in state.peers.items() if peer.heard >= since and peer.counts}
    return not state.voters or state.majority(heard, 1) > 0


def is_protected(state: State, now: float) -> bool:
    """Whether a leader was heard so lately that nobody else shall disturb it."""
    if state.role == "leader":
        return True
    return state.leader is not None and now - state.heard_leader < state.parameters.election_min


def campaign(state: State, now: float, *, pre: bool, forced: bool = False) -> None:
    """Stand for election, or ask first whether that would succeed."""
    draw_election(state, now)
    state.leader = None
    state.granted, state.refused = set(), set()
    if pre:
        state.role = "pre-candidate"
    else:
        state.role = "candidate"
        state.term += 1
        state.vote = state.node
    term = state.term + 1 if pre else state.term
    request = VoteRequest(term, state.log.last, state.log.last_term, pre, forced)
    for voter in state.voters:
        if voter != state.node:
            send(state, voter, request)
    if pre:
        count_vote(state, state.node, granted=True, now=now)


def count_own_vote(state: State, now: float) -> None:
    """Count a candidate's vote for itself, which must be durable first like any other.

    Otherwise a lone voter could lead, crash, and give the term's vote to somebody else.
    """
    if state.role == "candidate" and state.node not in state.granted:
        stored = (state.handed_hard.term, state.handed_hard.vote)
        if stored == (state.term, state.node):
            count_vote(state, state.node, granted=True, now=now)


def count_vote(state: State, voter: NodeId, *, granted: bool, now: float) -> None:
    """Note a vote and go on as soon as the majority has spoken."""
    (state.granted if granted else state.refused).add(voter)
    if state.majority(dict.fromkeys(state.granted, 1), int(state.node in state.granted)):
        if state.role == "pre-candidate":
            campaign(state, now, pre=False)
        else:
            _lead(state, now)
    elif state.majority(dict.fromkeys(state.refused, 1), 0):
        become_follower(state, state.term, None, now)


def answer_vote(state: State, request: VoteRequest, sender: NodeId, now: float) -> None:
    """Give or refuse a vote. A real request is of the present term when it gets here."""
    granted = may_vote(state, request, sender) and not (request.pre and is_protected(state, now))
    if granted and not request.pre:
        state.vote = sender
        draw_election(state, now)
    term = request.term if granted else state.term
    send(state, sender, VoteAnswer(term, granted, request.pre))


def may_vote(state: State, request: VoteRequest, sender: NodeId) -> bool:
    """Raft 5.2 and 5.4.1: one vote a term, and only for a log as complete as the own one."""
    if state.lost:
        return False
    if request.pre:
        free = request.term > state.term
    else:
        free = state.vote == sender or (state.vote is None and state.leader is None)
    own = (state.log.last_term, state.log.last)
    return free and (request.last_term, request.last_index) >= own


def take_vote(state: State, answer: VoteAnswer, sender: NodeId, now: float) -> None:
    """Count an answer that belongs to the present question."""
    if sender not in state.voters:
        return
    asked = state.term + 1 if state.role == "pre-candidate" else state.term
    expected = asked if answer.granted else state.term
    if state.role == ("pre-candidate" if answer.pre else "candidate") and answer.term == expected:
        count_vote(state, sender, granted=answer.granted, now=now)


def _lead(state: State, now: float) -> None:
    state.role, state.leader = "leader", state.node
    state.heartbeat_at = now
    state.round, state.successor, state.receiving = 0, None, None
    members = state.log.members
    others = [node for node in members.voters + members.standbys if node != state.node]
    state.peers = {node: Peer(state.log.last + 1, heard=now) for node in others}
    state.uncommitted_bytes = 0
    state.term_start = state.log.last + 1
    state.log.append(Entry(state.term_start, state.term, "empty", b""))


def hand_over(state: State, to: NodeId, now: float) -> None:
    """Let a voter take the lead as soon as it has everything; until then nothing is proposed."""
    if to not in state.peers or to not in state.voters:
        raise ChangeRefused("only another voter can take the lead")
    state.successor = to
    state.successor_until = now + state.parameters.election_min
    call_successor(state)


def call_successor(state: State) -> None:
    """Ask the chosen successor to stand, once it has the whole log."""
    peer = state.peers.get(state.successor) if state.successor else None
    if peer is not None and state.successor and peer.match == state.log.last and peer.counts:
        send(state, state.successor, TimeoutNow(state.term))


def miss_leader(state: State, now: float) -> None:
    """The link to the leader broke: stand soon. The others agree if they lost it, too."""
    state.heard_leader = float("-inf")
    times = state.parameters
    state.election_at = min(state.election_at, now + state.rng.uniform(0, times.crash_election))
