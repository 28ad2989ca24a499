"""The assignment at work: computes while this node leads, and tells the nodes.

Every coordinator can report coverage, because every one has the targets and sees the mesh; only
the leader assigns. What nodes show in their records is the truth: a new leader begins from that.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from coordinator.assignment.assign import assign
from coordinator.assignment.gaps import find_gaps
from coordinator.assignment.placement import Assignment
from coordinator.assignment.refusals import Refusals
from coordinator.assignment.supply import Supply, supply_of
from mesh.capability import NodeRecord
from mesh.clock import Clock
from mesh.coverage import CoverageReport
from mesh.errors import LinkError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Links, StreamKind
from mesh.targets import ServiceTarget
from mesh.wire.assignment import MAX_ASSIGNED, Assign, Told, decode_answer, encode

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.2
"""Changes that come within this time are answered by one computation."""
UNSETTLED_SECONDS = 1.0
SETTLED_SECONDS = 10.0
"""Between two computations when nothing changed: while something is under way, and otherwise."""
SHARE = 10
"""A computation takes at most one part in so many of this node's time."""
REPEAT_SECONDS = 30.0
"""After which a node is told again what it does already: it may have forgotten."""
ANSWER_SECONDS = 3.0
"""Patience for a node's answer; it only has to look."""
MAX_TALKS = 64
"""Nodes that are talked to at one time."""

NOT_LEADING = "this coordinator does not lead: only the leader knows what is about to start where"

Obey = Callable[[Assign], Told]


@dataclass(slots=True)
class _Contact:
    """What a node was told last."""

    models: tuple[tuple[str, str], ...] = ()
    version: int = 0
    accepted_at: float = -math.inf
    talking: bool = False
    retry_at: float = -math.inf


class AssignmentService:
    """`wake` it when the live set, the targets or the leader changed; `start` it once."""

    def __init__(
        self,
        *,
        own: NodeId,
        links: Links,
        targets: Callable[[], Sequence[ServiceTarget] | None],
        nodes: Callable[[], Iterable[NodeRecord]],
        leading: Callable[[], int | None],
        obey_here: Obey | None,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        """`targets`: None while they are not known. `nodes`: the live set, this node included.

        `leading`: the term while this node leads and has a majority, else None. `obey_here`: how
        this node follows its own assignments; None when it runs nothing.
        """
        self._own = own
        self._links = links
        self._targets = targets
        self._nodes = nodes
        self._leading = leading
        self._obey_here = obey_here
        self._clock = clock
        self._tasks = tasks
        self._assignment = Assignment()
        self._refusals = Refusals()
        self._contacts: dict[NodeId, _Contact] = {}
        self._term: int | None = None
        self._version = 0
        """Never falls: this node may lead the same term again."""
        self._changed = asyncio.Event()
        self._talks = asyncio.Semaphore(MAX_TALKS)

    def start(self) -> None:
        """Begin. The owner of `tasks` ends it."""
        self._tasks.supervise(self._run, "assignment")

    def wake(self) -> None:
        """Something may have changed; looked at within GATHER_SECONDS. Cheap."""
        self._changed.set()

    @property
    def assignment(self) -> Assignment:
        """The last one; empty on who does not lead."""
        return self._assignment

    def report(self) -> CoverageReport | None:
        """Which services are covered, and why others are not; None without known targets."""
        targets = self._targets()
        if targets is None:
            return None
        now = self._clock.now()
        gaps = find_gaps(targets, self._supplies(now), self._assignment, now)
        note = "" if self._leading() is not None else NOT_LEADING
        return CoverageReport(gaps, self._own, note)

    async def _run(self) -> None:
        while True:
            began = self._clock.now()
            pause = self._compute()
            spent = self._clock.now() - began
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(max(GATHER_SECONDS, spent * SHARE))
            self._changed.clear()

    def _compute(self) -> float:
        """Assign and tell whom it concerns; seconds until the next look when nothing changes."""
        term, targets = self._leading(), self._targets()
        if term != self._term:
            self._take_office(term)
        if term is None or targets is None:
            return SETTLED_SECONDS
        now = self._clock.now()
        records = {record.node_id: record for record in self._nodes()}
        self._learn(records, now)
        supplies = self._supplies_of(records.values(), now)
        self._assignment = assign(targets, supplies, self._assignment, now)
        talks = self._tell_all(records, term, now)
        return UNSETTLED_SECONDS if talks or not self._assignment.settled else SETTLED_SECONDS

    def _take_office(self, term: int | None) -> None:
        """Begin from what records show: an assignment of an earlier term may be long outdated."""
        self._term = term
        self._assignment = Assignment()
        self._contacts.clear()
        if term is not None:
            log.info("assigning services in term %d", term)

    def _learn(self, records: dict[NodeId, NodeRecord], now: float) -> None:
        self._refusals.keep_only(records.keys(), now)
        for node in self._contacts.keys() - records.keys():
            del self._contacts[node]
        for placement in self._assignment.placements:
            if placement.state == "serving":
                self._refusals.started(placement.node, placement.model)

    def _supplies(self, now: float) -> list[Supply]:
        return self._supplies_of(self._nodes(), now)

    def _supplies_of(self, records: Iterable[NodeRecord], now: float) -> list[Supply]:
        barred = self._refusals.barred(now)
        return [
            supply_of(record, barred.get(record.node_id))
            for record in records
            if record.state != "gone"
        ]

    def _tell_all(self, records: dict[NodeId, NodeRecord], term: int, now: float) -> int:
        """Talk to every node that must hear something; how many these are."""
        models = self._assignment.models()
        concerned = 0
        for node, record in records.items():
            wanted = models.get(node, ())[:MAX_ASSIGNED]
            contact = self._contacts.get(node)
            if contact is None:
                if not wanted and not _runs_something(record):
                    continue
                contact = self._contacts[node] = _Contact()
            if contact.talking or not _due(contact, record, wanted, now):
                continue
            concerned += 1
            if now >= contact.retry_at:
                contact.talking = True
                if contact.models != wanted or not contact.version:
                    self._version += 1
                    contact.models, contact.version = wanted, self._version
                assign_now = Assign(term, contact.version, wanted)
                self._tasks.spawn(self._tell(record, contact, assign_now), f"assign {node[:8]}")
        return concerned

    async def _tell(self, record: NodeRecord, contact: _Contact, message: Assign) -> None:
        try:
            async with self._talks:
                told = await self._ask(record, message)
        except (LinkError, WireError, TimeoutError) as error:
            log.debug("%s could not be assigned: %s", record.node_id[:8], error)
            contact.retry_at = self._clock.now() + UNSETTLED_SECONDS
        else:
            self._heard(record, contact, message, told)
        finally:
            contact.talking = False
            self.wake()

    async def _ask(self, record: NodeRecord, message: Assign) -> Told:
        if record.node_id == self._own:
            if self._obey_here is None:
                raise LinkError("this node runs nothing for the mesh")
            return self._obey_here(message)
        link = self._links.get(record.node_id)
        if link is None:
            link = await self._links.connect(record.node_id, record.addresses)
        data = await link.call(StreamKind.ASSIGNMENT, encode(message), timeout=ANSWER_SECONDS)
        answer = decode_answer(data)
        if not isinstance(answer, Told):
            raise WireError("an assignment was answered by something else")
        return answer

    def _heard(self, record: NodeRecord, contact: _Contact, message: Assign, told: Told) -> None:
        now = self._clock.now()
        if not told.accepted:
            log.warning("%s does not follow: %s", record.node_id[:8], told.reason)
            contact.retry_at = now + REPEAT_SECONDS
            outdated = (told.term, told.version) != (message.term, message.version)
            for model, _ in () if outdated else message.models:
                self._refusals.refused(record.node_id, model, told.reason, now)
            return
        contact.accepted_at = now
        asked_for = {model for model, _ in message.models}
        for each in told.reports:
            if each.state in ("refused", "failed") and each.model in asked_for:
                self._refusals.refused(record.node_id, each.model, each.reason, now)


def _runs_something(record: NodeRecord) -> bool:
    """Whether the node serves anything that an assignment could have started."""
    held = {each.model for each in record.runnable}
    return any(each.ref.name in held for each in record.models)


def _due(
    contact: _Contact,
    record: NodeRecord,
    wanted: tuple[tuple[str, str], ...],
    now: float,
) -> bool:
    if contact.models != wanted or not contact.version:
        return True
    if contact.accepted_at == -math.inf:
        return True
    if wanted and now - contact.accepted_at >= REPEAT_SECONDS:
        return True
    served = {each.ref.name for each in record.models}
    waits_for = any(model not in served for model, _ in wanted)
    return waits_for and now - contact.accepted_at >= UNSETTLED_SECONDS
