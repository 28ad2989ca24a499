"""What a coordinator does beside a node's other work, and how any node asks how the group is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from coordinator.assignment.service import AssignmentService, Obey
from coordinator.group.caller import NotAnswered, ask_member
from coordinator.group.coordination import Coordination
from coordinator.group.folder import GroupFolder
from coordinator.group.targets import GroupTargets
from coordinator.state.state import SqliteState
from dht.directory import Directory
from mesh.capability import NodeRecord
from mesh.clock import Clock
from mesh.consensus import GroupReport
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.ports import Links
from mesh.targets import ServiceTarget
from mesh.wire.group import AskReport

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0
MAX_ASKED = 3
"""Coordinators that one question is put to."""


@dataclass(frozen=True, slots=True)
class Coordinating:
    """The parts that only a coordinator has."""

    coordination: Coordination
    assignment: AssignmentService
    targets: GroupTargets

    async def start(self) -> None:
        """Take part in the group and, while leading, assign services. Raises StorageError."""
        await self.coordination.start()
        self.assignment.start()


def build_coordinating(
    *,
    own: NodeId,
    founds: bool,
    data_dir: Path,
    links: LinkPool,
    directory: Directory,
    obey_here: Obey,
    on_state: Callable[[SqliteState], None],
    clock: Clock,
    rng: Random,
    tasks: Tasks,
) -> Coordinating:
    """A coordinator's parts, plugged into each other; nothing is started.

    `on_state` is called when the state is open.
    """
    in_force = TargetsInForce(links)

    def ready(state: SqliteState) -> None:
        in_force.follow(state)
        on_state(state)

    def addresses(node: NodeId) -> tuple[str, ...]:
        # Of lost members as well: after a cut nobody else may look for them for half a minute.
        entry = directory.entry(node)
        return () if entry is None else entry.signed.record.addresses

    coordination = Coordination(
        own=own,
        founds=founds,
        folder=GroupFolder(data_dir),
        links=links,
        addresses=addresses,
        clock=clock,
        rng=rng,
        tasks=tasks,
        on_ready=ready,
    )
    assignment = AssignmentService(
        own=own,
        links=links,
        targets=in_force.targets,
        nodes=lambda: live_records(directory),
        leading=coordination.leading,
        obey_here=obey_here,
        clock=clock,
        tasks=tasks,
    )
    in_force.tell(assignment)
    directory.watch(lambda *_: assignment.wake())
    targets = GroupTargets(coordination.group, lambda: coordination.state, clock)
    return Coordinating(coordination, assignment, targets)


class TargetsInForce:
    """Follows the replicated state: tells the assignment of changes, and links of revocations."""

    def __init__(self, links: LinkPool) -> None:
        self._links = links
        self._state: SqliteState | None = None
        self._assignment: AssignmentService | None = None

    def follow(self, state: SqliteState) -> None:
        """The state is open; called once."""
        self._state = state
        state.on_change(lambda _: self._changed())
        self._changed()

    def tell(self, assignment: AssignmentService) -> None:
        """Wake this one when targets change."""
        self._assignment = assignment

    def targets(self) -> tuple[ServiceTarget, ...] | None:
        """The declared services as applied here; None before this node was taken in."""
        return None if self._state is None else self._state.rows.targets()

    def _changed(self) -> None:
        if self._state is not None:
            self._links.revoke(self._state.rows.revoked())
        if self._assignment is not None:
            self._assignment.wake()


def live_records(directory: Directory) -> list[NodeRecord]:
    """Every node that is seen, this one included."""
    own = directory.own
    others = [peer.record for peer in directory.view.peers()]
    return others if own is None else [own, *others]


class GroupDesk:
    """Tells how the coordinators are, on any node."""

    def __init__(self, links: Links, coordination: Coordination | None) -> None:
        self._links = links
        self._coordination = coordination

    async def ask(self) -> GroupReport | None:
        """The leader's report, else some coordinator's; None when nobody can tell."""
        if self._coordination is not None:
            own = await self._coordination.group.leaders_report()
            if own is not None:
                return own
        best: GroupReport | None = None
        linked = [link for link in self._links.all() if "coordinator" in link.roles]
        for link in linked[:MAX_ASKED]:
            try:
                answer = await ask_member(link, AskReport(), timeout=ASK_SECONDS)
            except NotAnswered as error:
                log.debug("coordinator %s did not tell: %s", link.peer[:8], error)
                continue
            if isinstance(answer, GroupReport):
                if answer.lag or answer.leader == answer.reporter:
                    return answer
                best = best or answer
        return best

    def counters(self) -> Mapping[str, float]:
        """Figures for /metrics, by name; none where this node is no member."""
        member = None if self._coordination is None else self._coordination.group.member
        return {} if member is None else member.counters()

    def note(self) -> str:
        """What the owner of a coordinator should know."""
        return "" if self._coordination is None else self._coordination.note()
