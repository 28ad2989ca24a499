"""The leader's side of snapshots: bytes are asked for, one chunk on its way at a time."""

from __future__ import annotations

from coordinator.consensus.entry import SnapshotMark
from coordinator.consensus.parameters import PIN_FACTOR
from coordinator.consensus.ready import ChunkNeeded
from coordinator.consensus.state import Peer, Sending, State, send
from mesh.ids import NodeId
from mesh.wire.consensus import ChunkAnswer, SnapshotChunk


def end_snapshot(state: State, peer: Peer) -> None:
    """Go on with entries as soon as the member's log touches what is left here."""
    if peer.match >= state.log.mark.index:
        peer.sending = None
        peer.probing, peer.next = True, peer.match + 1


def ask_for_chunks(state: State, node: NodeId, peer: Peer, now: float) -> None:
    """Say which bytes a member needs, again when they seem lost; nothing while it is silent."""
    if peer.sending is None:
        if now - peer.heard >= state.parameters.election_max:
            return
        peer.sending = Sending()
        peer.in_flight.clear()
    if now >= peer.sending.ask_at:
        peer.sending.ask_at = now + state.parameters.chunk_patience
        state.needed.append(ChunkNeeded(node, peer.sending.mark, peer.sending.offset))


def send_chunk(state: State, to: NodeId, chunk: SnapshotChunk) -> None:
    """Send bytes that were asked for; others are dropped."""
    peer = state.peers.get(to)
    sending = peer.sending if peer else None
    if sending is None or chunk.offset != sending.offset:
        return
    if sending.mark is None:
        sending.mark = chunk.mark
    if sending.mark.index == chunk.mark.index:
        send(state, to, chunk)


def restart_snapshot(state: State, to: NodeId) -> None:
    """The snapshot that was being sent is gone: take a fresh one."""
    peer = state.peers.get(to)
    if peer is not None and peer.sending is not None:
        peer.sending = Sending()


def take_chunk_answer(state: State, answer: ChunkAnswer, sender: NodeId, now: float) -> None:
    """Go on where the member wants."""
    peer = state.peers.get(sender)
    if peer is None:
        return
    peer.heard = now
    peer.lost = answer.lost or peer.lost
    sending = peer.sending
    if sending is None or sending.mark is None or sending.mark.index != answer.index:
        return
    if answer.refused:
        peer.sending = Sending()
    elif answer.offset != sending.offset:
        sending.offset = answer.offset
        sending.ask_at = now


def first_pinned(state: State, now: float) -> int | None:
    """The lowest index up to which the log must stay, for members that are taking a snapshot."""
    patience = PIN_FACTOR * state.parameters.election_max
    marks: list[SnapshotMark] = [
        peer.sending.mark
        for peer in state.peers.values()
        if peer.sending is not None and peer.sending.mark and now - peer.heard < patience
    ]
    return min((mark.index for mark in marks), default=None)
