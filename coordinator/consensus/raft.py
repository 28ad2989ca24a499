"""The consensus core: Raft without a clock, a disk or a network.

    every event:  tick / receive / propose / ... , each with `now`
    then:         while (ready := raft.ready(now)) is not None: do as Ready says, with raft.saved

Until `saved` was called there is no further `ready`; events may come in the meantime.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from coordinator.consensus import (
    election,
    following,
    membership,
    reading,
    replication,
    sending,
)
from coordinator.consensus.entry import (
    Entry,
    GroupStatus,
    HardState,
    Members,
    SnapshotMark,
    Stored,
)
from coordinator.consensus.log import Log
from coordinator.consensus.parameters import MAX_HANDED, Parameters
from coordinator.consensus.ready import Outgoing, PeerSight, Position, Ready
from coordinator.consensus.refusal import NotLeader
from coordinator.consensus.state import (
    State,
    become_follower,
    draw_election,
    settle,
)
from mesh.errors import StorageError
from mesh.ids import NodeId
from mesh.wire.consensus import (
    MAX_BATCH,
    Append,
    Appended,
    ChunkAnswer,
    ConsensusMessage,
    SnapshotChunk,
    TimeoutNow,
    VoteAnswer,
    VoteRequest,
    pack_members,
)


def found_group(node: NodeId) -> tuple[HardState, tuple[Entry, ...]]:
    """What the first voter of a new group saves before it starts. Nobody else ever does."""
    members = Entry(1, 1, "members", pack_members(Members((node,))))
    return HardState(1, None), (members,)


class Raft:
    """One member. `applied` is what its state machine already contains; `lost` as last saved.

    `now` is in seconds of any clock that does not go back. Raises StorageError when the state
    machine and the log do not fit together, or the leader contradicts what is committed.
    """

    def __init__(
        self,
        node: NodeId,
        stored: Stored,
        *,
        applied: int,
        now: float,
        rng: Random,
        parameters: Parameters | None = None,
        lost: int = 0,
    ) -> None:
        log = Log(stored)
        if not log.mark.index <= applied <= log.last:
            raise StorageError(
                f"{applied} entries are applied, the log has {log.mark.index} to {log.last}"
            )
        self._state = State(
            node=node,
            parameters=parameters or Parameters(),
            rng=rng,
            log=log,
            term=max(stored.hard.term, log.last_term),
            vote=stored.hard.vote if stored.hard.term >= log.last_term else None,
            lost=lost,
            commit=applied,
            handed=applied,
            stable=log.last,
            handed_hard=stored.hard,
            handed_lost=lost,
        )
        self._saving = False
        draw_election(self._state, now)

    def tick(self, now: float) -> None:
        """Let time pass. Call it at `next_deadline` at the latest."""
        election.pass_time(self._state, now)

    @property
    def next_deadline(self) -> float:
        """When something will be due without any event."""
        state = self._state
        if state.role != "leader":
            return state.election_at
        asks = [peer.sending.ask_at for peer in state.peers.values() if peer.sending]
        return min([state.heartbeat_at, *asks])

    def receive(self, message: ConsensusMessage, sender: NodeId, now: float) -> None:
        """Take a message from a member that the link has proved to be `sender`."""
        if self._is_current(message, sender, now):
            self._dispatch(message, sender, now)

    def _is_current(self, message: ConsensusMessage, sender: NodeId, now: float) -> bool:
        """Bring this member to the message's term, or the sender to this one's."""
        state = self._state
        if message.term > state.term:
            if _is_question(message):
                return True
            unforced = isinstance(message, VoteRequest) and not message.forced
            if unforced and election.is_protected(state, now):
                return False
            leads = isinstance(message, Append | SnapshotChunk)
            become_follower(state, message.term, sender if leads else None, now)
        elif message.term < state.term:
            if isinstance(message, Append | SnapshotChunk):
                following.refuse_old_leader(state, message, sender)
            return isinstance(message, VoteRequest)
        return True

    def _dispatch(self, message: ConsensusMessage, sender: NodeId, now: float) -> None:
        state = self._state
        match message:
            case Append():
                following.take_append(state, message, sender, now)
            case Appended():
                replication.take_answer(state, message, sender, now)
            case VoteRequest():
                election.answer_vote(state, message, sender, now)
            case VoteAnswer():
                election.take_vote(state, message, sender, now)
            case SnapshotChunk():
                following.take_chunk(state, message, sender, now)
            case ChunkAnswer():
                sending.take_chunk_answer(state, message, sender, now)
            case TimeoutNow():
                if state.may_stand and state.role != "leader":
                    election.campaign(state, now, pre=False, forced=True)

    def peer_up(self, peer: NodeId, now: float) -> None:
        """A link to a member is there: send at once what was held back."""
        known = self._state.peers.get(peer)
        if known is not None:
            known.due, known.waiting = True, False

    def peer_down(self, peer: NodeId, now: float) -> None:
        """The link to a member ended without a goodbye: it probably crashed."""
        if peer == self._state.leader:
            election.miss_leader(self._state, now)

    def propose(self, data: bytes, now: float) -> Position:
        """Put a command into the leader's log; a `Fate` will tell what became of it.

        Raises NotLeader or Backlog: nothing was done. On a crash the fate stays unknown.
        """
        return replication.propose(self._state, "command", data)

    def change_members(self, change: membership.Change, node: NodeId, now: float) -> Position:
        """Change the list by one member. Raises NotLeader, Backlog or ChangeRefused."""
        return membership.change_members(self._state, change, node, now)

    def read(self, now: float) -> int:
        """Ask for a read; a `ReadResult` of this number will follow. Raises NotLeader, Backlog."""
        return reading.ask_read(self._state)

    def transfer(self, to: NodeId, now: float) -> None:
        """Hand the lead to another voter, within an election time-out or not at all.

        Raises NotLeader or ChangeRefused.
        """
        if self._state.role != "leader":
            raise NotLeader(self._state.leader)
        election.hand_over(self._state, to, now)

    def send_chunk(self, to: NodeId, chunk: SnapshotChunk) -> None:
        """Hand over the bytes of a `ChunkNeeded`; with any term, the present one is put in."""
        sending.send_chunk(self._state, to, replace(chunk, term=self._state.term))

    def restart_snapshot(self, to: NodeId) -> None:
        """The snapshot of a `ChunkNeeded` is gone; another will be asked for."""
        sending.restart_snapshot(self._state, to)

    def installed(self, mark: SnapshotMark) -> None:
        """A received snapshot is in the state machine and the log on disk was compacted to it."""
        following.install(self._state, mark)

    def refuse_snapshot(self) -> None:
        """A received snapshot is not what its digest says."""
        following.refuse_snapshot(self._state)

    def mark_at(self, index: int) -> SnapshotMark:
        """The mark of a snapshot taken with everything up to `index` applied. Raises ValueError."""
        return self._state.log.mark_at(index)

    def compact(self, index: int, now: float) -> SnapshotMark | None:
        """Forget applied entries up to `index`, then do the same on disk with the mark returned.

        Less is forgotten, or nothing (None), while a member still takes a snapshot.
        """
        state = self._state
        pinned = sending.first_pinned(state, now)
        index = min(index, state.handed, state.stable, index if pinned is None else pinned)
        return state.log.compact(index) if index > state.log.mark.index else None

    def ready(self, now: float) -> Ready | None:
        """Everything that is to be done now; None when there is nothing, or a save is open."""
        if self._saving:
            return None
        state = self._state
        election.count_own_vote(state, now)
        reading.begin_round(state)
        replication.advance_commit(state, now)
        replication.flush(state, now)
        reading.confirm_reads(state)
        ready = self._collect()
        self._saving = not ready.is_empty
        return ready if self._saving else None

    def _collect(self) -> Ready:
        state = self._state
        hard = HardState(state.term, state.vote)
        lost = state.lost if state.lost != state.handed_lost else None
        new_hard = hard if hard != state.handed_hard else None
        state.handed_hard, state.handed_lost = hard, state.lost
        at_once, later = _split(state.outbox, may_hurry=new_hard is None and lost is None)
        ready = Ready(
            new_hard,
            lost,
            state.log.take_unsaved(),
            at_once,
            later,
            self._hand_out(),
            tuple(state.fates),
            tuple(state.results),
            tuple(state.needed),
            tuple(state.received),
        )
        for taken in (state.outbox, state.fates, state.results, state.needed, state.received):
            taken.clear()
        return ready

    def _hand_out(self) -> tuple[Entry, ...]:
        state = self._state
        if state.handed >= state.commit:
            return ()
        most = min(MAX_HANDED, state.commit - state.handed)
        entries = state.log.read(state.handed + 1, most=most, most_bytes=4 * MAX_BATCH)
        state.handed = entries[-1].index
        for entry in entries:
            settle(state, entry.index, entry.term)
        return entries

    def saved(self, ready: Ready) -> None:
        """What `ready` asked to be saved is durable."""
        state = self._state
        self._saving = False
        if ready.entries:
            last = ready.entries[-1]
            # Entries that were overwritten while the disk wrote are not what is durable now.
            if state.log.term_at(last.index) == last.term:
                state.stable = max(state.stable, last.index)

    @property
    def is_leader(self) -> bool:
        """Whether this member leads, as far as it knows."""
        return self._state.role == "leader"

    def peers(self, now: float) -> dict[NodeId, PeerSight]:
        """What a leader knows of the other members; empty at anybody else."""
        state = self._state
        return {
            node: PeerSight(max(0.0, now - peer.heard), state.log.last - peer.match, peer.counts)
            for node, peer in state.peers.items()
        }

    def status(self, now: float) -> GroupStatus:
        """The group as this member sees it now."""
        state = self._state
        known = election.is_protected(state, now)
        lag = {node: state.log.last - peer.match for node, peer in state.peers.items()}
        return GroupStatus(
            state.leader if known else None,
            state.term,
            state.log.members,
            state.commit,
            state.handed,
            lag,
        )


def _is_question(message: ConsensusMessage) -> bool:
    """Pre-votes name a term that nobody has begun yet."""
    if isinstance(message, VoteAnswer):
        return message.pre and message.granted
    return isinstance(message, VoteRequest) and message.pre


def _split(
    outbox: list[Outgoing], *, may_hurry: bool
) -> tuple[tuple[Outgoing, ...], tuple[Outgoing, ...]]:
    """A leader's Appends need not wait for its disk (thesis 10.2.1): it does not count itself yet.

    They must wait while the term they carry is not durable.
    """
    if not may_hurry:
        return (), tuple(outbox)
    hurried = tuple(item for item in outbox if isinstance(item[1], Append))
    later = tuple(item for item in outbox if not isinstance(item[1], Append))
    return hurried, later
