"""Reads without writing: an index that is current, proved by a round of answers (thesis 6.4)."""

from __future__ import annotations

from coordinator.consensus.parameters import MAX_READS
from coordinator.consensus.ready import ReadResult
from coordinator.consensus.refusal import Backlog, NotLeader
from coordinator.consensus.state import State


def ask_read(state: State) -> int:
    """Number of a read that is confirmed once a majority answered a round begun after it.

    Raises NotLeader or Backlog.
    """
    if state.role != "leader":
        raise NotLeader(state.leader)
    if len(state.reads) >= MAX_READS:
        raise Backlog("too many reads wait for a majority")
    number = state.next_read
    state.next_read += 1
    # What earlier leaders committed is known to be so only with this leader's first entry.
    index = max(state.commit, state.term_start)
    state.reads.append((number, state.round + 1, index))
    return number


def begin_round(state: State) -> None:
    """Ask everyone for an answer where reads wait for a round that has not begun."""
    if state.role == "leader" and state.reads and state.reads[-1][1] > state.round:
        state.round += 1
        for peer in state.peers.values():
            peer.due = True


def confirm_reads(state: State) -> None:
    """Hand out the reads whose round a majority has answered."""
    if state.role != "leader" or not state.reads:
        return
    answered = {node: peer.round for node, peer in state.peers.items() if peer.counts}
    reached = state.majority(answered, state.round)
    while state.reads and state.reads[0][1] <= reached:
        number, _, index = state.reads.popleft()
        state.results.append(ReadResult(number, index))
