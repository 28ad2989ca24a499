"""The follower's side: entries, commits and snapshots from the leader. Raft 5.3 and 7."""

from __future__ import annotations

from coordinator.consensus.entry import Entry, SnapshotMark
from coordinator.consensus.ready import ChunkReceived, Fate, Position
from coordinator.consensus.state import (
    Receiving,
    State,
    become_follower,
    draw_election,
    send,
)
from mesh.errors import StorageError
from mesh.ids import NodeId
from mesh.wire.consensus import Append, Appended, ChunkAnswer, SnapshotChunk

MAX_RECEIVED = 4
"""Chunks that wait to be written; an honest leader sends one at a time."""


def hear_leader(state: State, leader: NodeId, now: float) -> bool:
    """Follow the leader of the present term. False where this member leads it itself."""
    if state.role == "leader":
        return False
    if state.role != "follower" or state.leader != leader:
        become_follower(state, state.term, leader, now)
    state.heard_leader = now
    draw_election(state, now)
    return True


def take_append(state: State, message: Append, sender: NodeId, now: float) -> None:
    """Store what the leader sends, or say where the logs part. Raises StorageError."""
    if not hear_leader(state, sender, now):
        return
    _note_standing(state, message)
    log = state.log
    if message.prev_index < state.commit:
        _answer(state, message, sender, ok=True, index=state.commit)
    elif log.term_at(message.prev_index) != message.prev_term:
        hint = max(state.commit, log.agreed(message.prev_index, message.prev_term))
        _answer(state, message, sender, ok=False, index=hint)
    else:
        _store(state, message.entries)
        limit = commit_limit(state, message)
        state.commit = max(state.commit, min(message.commit, limit))
        _answer(state, message, sender, ok=True, index=message.prev_index + len(message.entries))


def commit_limit(state: State, message: Append) -> int:
    """Up to here the log was compared with the leader's; what follows may be wrong."""
    return message.prev_index + len(message.entries)


def _store(state: State, entries: tuple[Entry, ...]) -> None:
    for place, entry in enumerate(entries):
        if state.log.term_at(entry.index) == entry.term:
            continue  # held already: what may follow it must stay (it may be acknowledged)
        if entry.index <= state.commit:
            raise StorageError(f"the leader contradicts entry {entry.index}, which is committed")
        state.log.replace(entries[place:])
        state.stable = min(state.stable, entry.index - 1)
        return


def _answer(state: State, message: Append, to: NodeId, *, ok: bool, index: int) -> None:
    term_there = state.log.term_at(index) or 0
    prev, number, last = message.prev_index, message.round, state.log.last
    send(state, to, Appended(state.term, ok, prev, index, term_there, number, last, state.lost))


def refuse_old_leader(state: State, message: Append | SnapshotChunk, sender: NodeId) -> None:
    """Tell a leader of an earlier term about the present one."""
    number = message.round if isinstance(message, Append) else 0
    last = state.log.last
    send(state, sender, Appended(state.term, False, 0, 0, 0, number, last, state.lost))


def _note_standing(state: State, message: Append) -> None:
    if message.regressed and not state.lost:
        state.lost = state.rng.getrandbits(62) + 1
    elif state.lost and message.readmit == state.lost:
        state.lost = 0


def take_chunk(state: State, chunk: SnapshotChunk, sender: NodeId, now: float) -> None:
    """Take the next bytes of a snapshot, or say which are wanted."""
    if not hear_leader(state, sender, now):
        return
    index = chunk.mark.index
    if index <= state.commit:
        _say_installed(state, sender)
        return
    receiving = state.receiving
    wanted = (sender, chunk.mark, chunk.digest)
    if receiving is None or (receiving.sender, receiving.mark, receiving.digest) != wanted:
        receiving = state.receiving = Receiving(sender, chunk.mark, chunk.digest)
    fits = chunk.offset == receiving.offset and len(state.received) < MAX_RECEIVED
    if receiving.done:
        return
    if fits:
        _take_bytes(state, receiving, chunk)
    if not receiving.done:
        send(state, sender, ChunkAnswer(state.term, index, receiving.offset, lost=state.lost))


def _take_bytes(state: State, receiving: Receiving, chunk: SnapshotChunk) -> None:
    offset, data = receiving.offset, chunk.data
    receiving.offset += len(data)
    receiving.done = chunk.done
    state.received.append(
        ChunkReceived(receiving.sender, chunk.mark, chunk.digest, offset, data, chunk.done)
    )


def install(state: State, mark: SnapshotMark) -> None:
    """Go on after a snapshot that is installed and durable."""
    state.receiving = None
    if mark.index > state.log.mark.index:
        if state.log.term_at(mark.index) == mark.term:
            state.log.compact(mark.index)
        else:
            state.log.reset(mark)
            state.stable = mark.index
        state.stable = max(state.stable, mark.index)
    state.commit = max(state.commit, mark.index)
    state.handed = max(state.handed, mark.index)
    for index in [index for index in state.proposals if index <= mark.index]:
        for term in state.proposals.pop(index):
            state.fates.append(Fate(Position(index, term), "unknown"))
    if state.leader is not None and state.role == "follower":
        _say_installed(state, state.leader)


def refuse_snapshot(state: State) -> None:
    """Drop a snapshot that is not what its digest says."""
    receiving, state.receiving = state.receiving, None
    if receiving is not None and state.leader == receiving.sender:
        index = receiving.mark.index
        send(state, receiving.sender, ChunkAnswer(state.term, index, 0, True, state.lost))


def _say_installed(state: State, leader: NodeId) -> None:
    index, last = state.commit, state.log.last
    term_there = state.log.term_at(index) or 0
    send(state, leader, Appended(state.term, True, 0, index, term_there, 0, last, state.lost))
