"""What a run needs of the dispatcher that made it."""

from __future__ import annotations

from random import Random
from typing import Protocol

from coordinator.scheduling.experience import Experience
from coordinator.scheduling.policy import Candidate, Decision, Demand
from coordinator.scheduling.prefixes import Mark
from coordinator.scheduling.trace import Traces
from mesh.ids import NodeId
from mesh.jobs import JobSpec
from mesh.ports import Request
from mesh.wire.jobs import WorkerMessage
from node.dispatch.attempt import Attempt
from node.dispatch.chooser import MayTake
from node.dispatch.counters import DispatchCounters
from node.dispatch.meter import Meter


class Held(Protocol):
    """A run as the dispatcher watches over it."""

    @property
    def meter(self) -> Meter: ...

    def check_silence(self, now: float, waking: float) -> None: ...


class Workers(Protocol):
    """What a run needs of the dispatcher that made it."""

    @property
    def rng(self) -> Random: ...

    @property
    def counters(self) -> DispatchCounters: ...

    def now(self) -> float: ...

    @property
    def experience(self) -> Experience: ...

    @property
    def traces(self) -> Traces: ...

    async def choose(
        self,
        model: str,
        demand: Demand,
        marks: tuple[Mark, ...],
        may_take: MayTake,
        patience: float,
    ) -> Decision: ...

    def seconds_busy(self, candidate: Candidate) -> float: ...

    def note_busy(self, candidate: Candidate, retry_after: float) -> None: ...

    def note_accepted(
        self, node: NodeId, answer: WorkerMessage, marks: tuple[Mark, ...]
    ) -> None: ...

    async def start_attempt(
        self, candidate: Candidate, job: JobSpec, request: Request, attempt: int
    ) -> Attempt: ...

    def hold(self, run: Held, node: NodeId) -> None: ...

    def let_go(self, run: Held) -> None: ...
