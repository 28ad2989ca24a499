"""Mistakes that implementations of Raft have made, put in on purpose: each must be found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from chaos.consensus.member import Habits
from chaos.consensus.nemesis import Profile
from coordinator.consensus import election, following, membership, reading, replication
from coordinator.consensus.entry import Entry
from coordinator.consensus.ready import ReadResult
from coordinator.consensus.refusal import NotLeader
from coordinator.consensus.state import State
from mesh.ids import NodeId
from mesh.wire.consensus import VoteRequest


@dataclass(frozen=True)
class Fault:
    """What is wrong: functions of the core replaced, or members with bad habits."""

    name: str
    habits: Habits = field(default_factory=Habits)
    forgets_votes: bool = False
    profile: Profile | None = None
    """What brings it to light soonest."""
    replaced: Mapping[tuple[ModuleType, str], Callable[..., Any]] = field(default_factory=dict)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The core has the mistake inside of this block only."""
        kept = {place: getattr(*place) for place in self.replaced}
        try:
            for (module, name), wrong in self.replaced.items():
                setattr(module, name, wrong)
            yield
        finally:
            for (module, name), right in kept.items():
                setattr(module, name, right)


def _votes_twice(state: State, request: VoteRequest, sender: NodeId) -> bool:
    own = (state.log.last_term, state.log.last)
    return (request.last_term, request.last_index) >= own


def _votes_for_less(state: State, request: VoteRequest, sender: NodeId) -> bool:
    if request.pre:
        return request.term > state.term
    return state.vote in (None, sender)


def _truncates_always(state: State, entries: tuple[Entry, ...]) -> None:
    if entries:
        state.log.replace(entries)
        state.stable = min(state.stable, entries[0].index - 1)


def _reads_at_once(state: State) -> int:
    if state.role != "leader":
        raise NotLeader(state.leader)
    state.next_read += 1
    state.results.append(ReadResult(state.next_read, state.commit))
    return state.next_read


NO_FAULT = Fault("none")
FAULTS = (
    Fault(
        "acknowledge before fsync", profile="disks", habits=Habits(acknowledges_before_fsync=True)
    ),
    Fault("vote not stored", profile="votes", forgets_votes=True),
    Fault("vote twice in a term", profile="disks", replaced={(election, "may_vote"): _votes_twice}),
    Fault(
        "vote for a shorter log",
        profile="disks",
        replaced={(election, "may_vote"): _votes_for_less},
    ),
    Fault(
        "commit entries of old terms by counting",
        profile="stories",
        replaced={(replication, "may_commit"): lambda state, index: True},
    ),
    Fault("follower serves stale reads", profile="disks", habits=Habits(reads_as_follower=True)),
    Fault(
        "leader reads without a round",
        profile="disks",
        replaced={(reading, "ask_read"): _reads_at_once},
    ),
    Fault(
        "change members before an entry of the own term",
        profile="stories",
        replaced={
            (membership, "may_change"): lambda state: state.log.members_index <= state.commit
        },
    ),
    Fault(
        "several changes of members at once",
        profile="members",
        replaced={(membership, "may_change"): lambda state: True},
    ),
    Fault(
        "truncate what matches",
        profile="disks",
        replaced={(following, "_store"): _truncates_always},
    ),
    Fault(
        "commit what was not compared",
        profile="votes",
        replaced={(following, "commit_limit"): lambda state, message: state.log.last},
    ),
    Fault(
        "call a proposal refused too early",
        profile="members",
        habits=Habits(refuses_on_step_down=True),
    ),
    Fault("a wiped disk goes on as a voter", profile="disks", habits=Habits(wipes_quietly=True)),
)
