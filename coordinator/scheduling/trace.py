"""What happened to a request, kept so that somebody can ask why afterwards.

Recording costs an append: bare tuples are kept, steps and words are made when somebody asks
(`coordinator.scheduling.account`). No prompt, no answer and no words of a peer are kept: only
nodes, codes, counts and times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from coordinator.scheduling.policy import Candidate, Decision
from mesh.ids import JobId, NodeId
from mesh.ports import Request

MAX_TRACES = 2_000
"""Requests remembered; the oldest goes first."""
MAX_STEPS = 48
"""Steps kept of one request; beyond it those in the middle go, and are counted."""
MAX_SHOWN = 8
"""Candidates kept of one decision, the best first."""
MAX_CODE = 64
"""Characters of a code that came from a peer."""

StepKind = Literal[
    "decided",
    "offered",
    "accepted",
    "refused",
    "unreachable",
    "waited",
    "started",
    "lost",
    "resumed",
    "finished",
    "failed",
    "cancelled",
]
_LAST: frozenset[StepKind] = frozenset({"finished", "failed", "cancelled"})


class Considered(NamedTuple):
    """What a trace keeps of a decision."""

    best: tuple[Candidate, ...]
    fit: int
    """Candidates that met every constraint."""
    known: int
    """Nodes known to serve the model when it was decided."""
    excluded: Mapping[str, int]


class Step(NamedTuple):
    """One thing that happened, `at` seconds by the gateway's monotonic clock."""

    kind: StepKind
    at: float
    node: NodeId | None = None
    code: str = ""
    """Why: an error code or a cause, never free text."""
    number: int = 0
    """Attempt number, or for `lost` and `resumed` the characters given out so far."""
    seconds: float = 0.0
    """For `refused` and `waited`: how long the node is, or the job was, put off."""
    decision: Considered | None = None


class Trace:
    """The steps of one request, in order; MAX_STEPS of them at most."""

    __slots__ = (
        "_rows",
        "job_id",
        "left_out",
        "model",
        "privacy",
        "request_id",
        "started",
        "tenant",
    )

    def __init__(self, request: Request, model: str, started: float) -> None:
        self.job_id: JobId = request.job_id
        self.request_id = request.request_id
        self.tenant = request.principal.tenant
        self.model = model
        self.privacy = request.privacy
        self.started = started
        self._rows: list[tuple[Any, ...]] = []
        """The first fields of each Step, as many as are not as usual."""
        self.left_out = 0

    @property
    def steps(self) -> tuple[Step, ...]:
        """What happened so far."""
        return tuple(Step(*row) for row in self._rows)

    @property
    def outcome(self) -> StepKind | None:
        """How it ended; None while it runs."""
        kind: StepKind | None = self._rows[-1][0] if self._rows else None
        return kind if kind in _LAST else None

    def decided(self, at: float, decision: Decision) -> None:
        """The candidates were put in order."""
        order, fit = decision.order, len(decision.order)
        kept = Considered(order[:MAX_SHOWN], fit, decision.known or fit, decision.excluded)
        self._add(("decided", at, None, "", 0, 0.0, kept))

    def offered(self, at: float, node: NodeId, attempt: int) -> None:
        """An offer is sent; `attempt` counts from 1."""
        self._add(("offered", at, node, "", attempt))

    def accepted(self, at: float, node: NodeId) -> None:
        """The node took the job."""
        self._add(("accepted", at, node))

    def refused(self, at: float, node: NodeId, code: str, retry_after: float = 0.0) -> None:
        """The node did not want it; `code` as in `mesh.wire.jobs.Refuse`."""
        self._add(("refused", at, node, code[:MAX_CODE], 0, retry_after))

    def unreachable(self, at: float, node: NodeId, code: str) -> None:
        """The offer found no way, or no answer; `code` names the kind of error."""
        self._add(("unreachable", at, node, code[:MAX_CODE]))

    def waited(self, at: float, seconds: float) -> None:
        """Everybody was busy: the next round comes after so many seconds."""
        self._add(("waited", at, None, "", 0, seconds))

    def started_answering(self, at: float, node: NodeId) -> None:
        """The first chunk came."""
        self._add(("started", at, node))

    def lost(self, at: float, node: NodeId, code: str, characters: int) -> None:
        """The worker failed or went away after so many characters of the answer."""
        self._add(("lost", at, node, code[:MAX_CODE], characters))

    def resumed(self, at: float, node: NodeId, characters: int) -> None:
        """Another worker goes on after so many characters."""
        self._add(("resumed", at, node, "", characters))

    def finished(self, at: float, node: NodeId) -> None:
        """The answer is complete."""
        self._end(("finished", at, node))

    def failed(self, at: float, code: str) -> None:
        """The request ended with an error; `code` as in `mesh.errors`."""
        self._end(("failed", at, None, code[:MAX_CODE]))

    def cancelled(self, at: float) -> None:
        """Closed before it was over: the client went. Harmless after another end."""
        self._end(("cancelled", at))

    def _end(self, row: tuple[Any, ...]) -> None:
        rows = self._rows
        if not rows or rows[-1][0] not in _LAST:
            self._add(row)

    def _add(self, row: tuple[Any, ...]) -> None:
        if len(self._rows) >= MAX_STEPS:
            del self._rows[MAX_STEPS // 2]
            self.left_out += 1
        self._rows.append(row)


class Traces:
    """The last MAX_TRACES requests of this gateway."""

    def __init__(self, most: int = MAX_TRACES) -> None:
        self._ring: deque[Trace] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._ring)

    def open(self, request: Request, model: str, now: float) -> Trace:
        """Begin to follow a request for a model."""
        trace = Trace(request, model, now)
        self._ring.append(trace)
        return trace

    def find(self, wanted: str, tenant: str | None) -> Trace | None:
        """The newest request of that request or job id; `tenant` None looks at everybody's.

        Callers may choose request ids, so two tenants may use one: each sees its own.
        Looks through all of them: nobody asks often, and the request path keeps no index.
        """
        for trace in self._matching(wanted):
            if tenant is None or trace.tenant == tenant:
                return trace
        return None

    def _matching(self, wanted: str) -> Iterator[Trace]:
        return (
            trace for trace in reversed(self._ring) if wanted in (trace.request_id, trace.job_id)
        )
