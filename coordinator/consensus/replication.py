"""The leader's side of the log: sending, counting, committing. Raft 5.3 and 5.4.2; thesis 10.2."""

from __future__ import annotations

from coordinator.consensus.election import call_successor
from coordinator.consensus.entry import Entry, EntryKind
from coordinator.consensus.parameters import (
    MAX_IN_FLIGHT,
    MAX_PROPOSALS,
    MAX_UNCOMMITTED,
    MAX_UNCOMMITTED_BYTES,
)
from coordinator.consensus.ready import Position
from coordinator.consensus.refusal import Backlog, NotLeader
from coordinator.consensus.sending import (
    ask_for_chunks,
    end_snapshot,
)
from coordinator.consensus.state import Peer, State, become_follower, send
from mesh.ids import NodeId
from mesh.wire.consensus import (
    MAX_BATCH,
    Append,
    Appended,
    TimeoutNow,
)


def propose(state: State, kind: EntryKind, data: bytes) -> Position:
    """Put an entry at the end of the leader's log. Raises NotLeader or Backlog."""
    if state.role != "leader":
        raise NotLeader(state.leader)
    if state.successor is not None:
        raise Backlog("the lead is being handed over")
    full = state.log.last - state.commit >= MAX_UNCOMMITTED
    full = full or state.uncommitted_bytes + len(data) > MAX_UNCOMMITTED_BYTES
    if full or len(state.proposals) >= MAX_PROPOSALS:
        raise Backlog("too much waits for a majority")
    position = Position(state.log.last + 1, state.term)
    state.log.append(Entry(position.index, position.term, kind, data))
    state.uncommitted_bytes += len(data)
    state.proposals.setdefault(position.index, []).append(position.term)
    return position


def flush(state: State, now: float) -> None:
    """Send every member what it lacks, as far as its bounds allow, and heartbeats that are due."""
    for node, peer in state.peers.items():
        if peer.sending is not None or peer.next <= state.log.mark.index:
            ask_for_chunks(state, node, peer, now)
        elif peer.probing:
            _probe(state, node, peer)
        else:
            _stream(state, node, peer)
        if peer.due:
            _append(state, node, peer, ())


def _probe(state: State, node: NodeId, peer: Peer) -> None:
    if not peer.waiting:
        peer.waiting = True
        _append(state, node, peer, _batch(state, peer))


def _stream(state: State, node: NodeId, peer: Peer) -> None:
    while peer.next <= state.log.last and len(peer.in_flight) < MAX_IN_FLIGHT:
        entries = _batch(state, peer)
        _append(state, node, peer, entries)
        peer.next = entries[-1].index + 1
        peer.in_flight.append(entries[-1].index)
    if peer.commit_sent < state.commit and not peer.in_flight:
        peer.due = True


def _batch(state: State, peer: Peer) -> tuple[Entry, ...]:
    if peer.next > state.log.last:
        return ()
    return state.log.read(peer.next, most=state.parameters.batch_entries, most_bytes=MAX_BATCH)


def _append(state: State, node: NodeId, peer: Peer, entries: tuple[Entry, ...]) -> None:
    prev_index = peer.next - 1
    prev_term = state.log.term_at(prev_index)
    if prev_term is None:  # the snapshot is on its way; nothing can be compared yet
        prev_index, prev_term = 0, 0
    readmit = peer.lost if peer.lost and _is_readmitted(state, node) else 0
    commit, number = state.commit, state.round
    message = Append(
        state.term, prev_index, prev_term, commit, number, entries, readmit, peer.regressed
    )
    peer.due = False
    peer.commit_sent = state.commit
    send(state, node, message)


def _is_readmitted(state: State, node: NodeId) -> bool:
    """A member that lost its state counts again once a majority knows it as no voter."""
    return (
        node not in state.voters
        and state.log.members_index <= state.commit
        and state.commit >= state.term_start
    )


def take_answer(state: State, answer: Appended, sender: NodeId, now: float) -> None:
    """Learn how far a member's log agrees."""
    peer = state.peers.get(sender)
    if peer is None or answer.index > state.log.last:
        return
    peer.heard = now
    peer.waiting = False
    _note_standing(state, peer, answer)
    peer.round = max(peer.round, min(answer.round, state.round))
    if answer.ok:
        _agree(state, peer, answer.index)
    else:
        _back_up(state, peer, answer)
    call_successor(state)


def _note_standing(state: State, peer: Peer, answer: Appended) -> None:
    if answer.lost and answer.lost != peer.lost:
        peer.match, peer.regressed = 0, False
        peer.probing, peer.sending = True, None
        peer.in_flight.clear()
        peer.next = max(1, min(peer.next, answer.last + 1))
    elif not answer.ok and answer.last < peer.match and answer.round > peer.match_round:
        # It acknowledged more before this round began: its disk went back in time.
        peer.regressed = True
    peer.lost = answer.lost


def _agree(state: State, peer: Peer, index: int) -> None:
    if index > peer.match:
        peer.match, peer.match_round = index, state.round
    peer.next = max(peer.next, index + 1)
    while peer.in_flight and peer.in_flight[0] <= index:
        peer.in_flight.popleft()
    if peer.sending is not None:
        end_snapshot(state, peer)
    peer.probing = peer.probing and index < peer.next - 1


def _back_up(state: State, peer: Peer, answer: Appended) -> None:
    if answer.prev_index <= peer.match and not peer.regressed:
        return  # an old answer, overtaken
    if peer.probing and answer.prev_index != peer.next - 1:
        return
    guess = state.log.agreed(answer.index, answer.index_term) + 1
    floor = 1 if peer.regressed else peer.match + 1
    peer.next = max(floor, min(answer.prev_index, guess))
    peer.probing = True
    peer.in_flight.clear()


def advance_commit(state: State, now: float) -> None:
    """Commit what a majority has on disk, if the leader's own term wrote it (Raft 5.4.2)."""
    if state.role != "leader":
        return
    reached = {node: peer.match for node, peer in state.peers.items() if peer.counts}
    index = state.majority(reached, state.stable)
    if index > state.commit and may_commit(state, index):
        done = state.log.count_bytes(state.commit, index)
        state.uncommitted_bytes = max(0, state.uncommitted_bytes - done)
        state.commit = index
        leave_if_removed(state, now)


def may_commit(state: State, index: int) -> bool:
    """Entries of earlier terms are committed only along with one of the present term."""
    return state.log.term_at(index) == state.term


def leave_if_removed(state: State, now: float) -> None:
    """A leader that is no voter any more goes once that is committed, and calls a successor."""
    if state.node in state.voters or state.log.members_index > state.commit:
        return
    best = max((peer.match, node) for node, peer in state.peers.items() if node in state.voters)
    send(state, best[1], TimeoutNow(state.term))
    become_follower(state, state.term, None, now)
