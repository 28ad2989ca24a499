"""One job on its way: from candidate to candidate until one answers, then chunk by chunk.

seeking ──Accept──▶ accepted ──first Chunk──▶ started ──Finished──▶ over
   ▲                    │ failed or lost: next candidate
   └────────────────────┘
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from random import Random
from typing import Protocol

from coordinator.scheduling.policy import Candidate, Decision, decide
from mesh.errors import (
    ContextTooLong,
    InvalidRequest,
    JobError,
    JobFailed,
    LinkError,
    ModelUnavailable,
    NotSupported,
    Overloaded,
    WireError,
)
from mesh.ids import NodeId
from mesh.jobs import Chunk, JobSpec
from mesh.ports import JobEvent, Progress, Request
from mesh.wire.jobs import Accept, Fail, Finished, Refuse, WorkerMessage
from node.dispatch.attempt import Attempt
from node.dispatch.candidates import make_demand

log = logging.getLogger(__name__)

SILENCE_SECONDS = 2.0
"""A worker that has accepted gives a sign of life every 0.25 s; this long without is a loss."""
PAUSE_LEAST = 0.05
"""Seconds between rounds in which every candidate was busy; longer if they said so."""
MAX_ROUND = 64
"""Candidates looked at before the view is asked again."""
MAX_FAILURES = 16
"""Workers that may fail at one job before it is given up. Busy ones do not count."""

_FINAL: dict[str, type[JobError]] = {
    error.code: error for error in (InvalidRequest, ContextTooLong, NotSupported)
}


class Workers(Protocol):
    """What a run needs of the dispatcher that made it."""

    @property
    def rng(self) -> Random: ...

    def now(self) -> float: ...

    async def candidates(self, model: str) -> list[Candidate]: ...

    def seconds_busy(self, candidate: Candidate) -> float: ...

    def note_busy(self, candidate: Candidate, retry_after: float) -> None: ...

    async def start_attempt(
        self, candidate: Candidate, job: JobSpec, request: Request, attempt: int
    ) -> Attempt: ...

    def hold(self, run: MeshRun, node: NodeId) -> None: ...

    def let_go(self, run: MeshRun) -> None: ...


class MeshRun:
    """See mesh.ports.Run."""

    def __init__(self, workers: Workers, job: JobSpec, request: Request) -> None:
        self._workers = workers
        self._job = job
        self._request = request
        self._demand = make_demand(job, request)
        self._submitted = self._workers.now()
        self._deadline = self._submitted + request.deadline
        self._attempt: Attempt | None = None
        self._first: WorkerMessage | None = None
        """By what the worker accepted, when that was more than Accept."""
        self._node: NodeId | None = None
        self._failed: set[NodeId] = set()
        self._refusals: set[str] = set()
        """Why workers did not want the job; codes we do not know are kept, at most one a worker."""
        self._eta = 1.0
        self._waited_for_slot = False
        self._started = False
        self._listening_since = math.inf
        """When it began to wait for the worker's next message; infinite while it does not."""
        self.attempts = 0
        self.routing_seconds = 0.0
        self.queue_seconds = 0.0

    @property
    def node(self) -> NodeId:
        """Who serves it; may change until the first chunk."""
        if self._node is None:
            raise RuntimeError("the job has not been accepted yet")
        return self._node

    async def find_worker(self) -> None:
        """Offer the job around until someone accepts. Raises JobError."""
        while True:
            self._check_deadline()
            decision = decide(await self._candidates(), self._demand, self._workers.rng)
            if not decision.order:
                raise self._nobody_fits(decision)
            for candidate in decision.order:
                self._check_deadline()
                if self._workers.seconds_busy(candidate) <= 0 and await self._offer(candidate):
                    return
            await self._pause(decision)

    async def events(self) -> AsyncIterator[JobEvent]:
        """See mesh.ports.Run."""
        while True:
            try:
                message = self._first or await self._receive()
            except (LinkError, WireError) as error:
                await self._replace_worker(str(error))
                continue
            self._first = None
            if isinstance(message, Chunk):
                self._started = True
                yield message
            elif isinstance(message, Progress):
                self._note_progress(message)
                yield message
            elif isinstance(message, Finished):
                self.queue_seconds = message.queue_seconds
                self._release(cancel=False)
                if message.last is not None:
                    yield message.last
                yield message.finish
                return
            elif isinstance(message, Fail):
                self._raise_if_final(message.code, message.reason, message.param, message.final)
                await self._replace_worker(message.reason)
            elif isinstance(message, Refuse):
                await self._replace_worker(message.reason)

    async def close(self) -> None:
        """See mesh.ports.Run."""
        self._release(cancel=True)

    def check_silence(self, now: float) -> None:
        """Called every so often: gives up a worker that has not shown life, or is too late.

        A tenth of a second late is good enough, and far cheaper than a timer per message.
        """
        late = now > self._deadline or now - self._listening_since > SILENCE_SECONDS
        if late and not self._started and self._attempt is not None:
            self._attempt.cancel()

    async def _candidates(self) -> list[Candidate]:
        found = await self._workers.candidates(self._job.model)
        left = [candidate for candidate in found if candidate.node not in self._failed]
        if not left or len(self._failed) > MAX_FAILURES:
            raise self._all_failed()
        return left[:MAX_ROUND]

    async def _offer(self, candidate: Candidate) -> bool:
        """True when the candidate accepted. Raises JobError when no other could do better."""
        self.attempts += 1
        self._node = candidate.node
        self._workers.hold(self, candidate.node)
        try:
            self._attempt = await self._workers.start_attempt(
                candidate, self._job, self._request, self.attempts
            )
            self.routing_seconds = self._workers.now() - self._submitted
            answer = await self._receive()
        except (LinkError, WireError, TimeoutError) as error:
            log.info("job %s: %s is no way: %r", self._request.job_id, candidate.node, error)
            self._give_up(candidate.node)
            return False
        if not isinstance(answer, Refuse):
            self._first = None if isinstance(answer, Accept) else answer
            return True
        self._give_up(candidate.node, forever=False)
        self._judge(candidate, answer)
        return False

    def _judge(self, candidate: Candidate, refusal: Refuse) -> None:
        """What a worker's refusal means for the rest of the search."""
        if refusal.code == "busy":
            self._waited_for_slot = True
            self._eta = refusal.retry_after or self._eta
            self._workers.note_busy(candidate, refusal.retry_after)
        else:
            self._failed.add(candidate.node)
            self._refusals.add(refusal.code)

    async def _pause(self, decision: Decision) -> None:
        waits = [self._workers.seconds_busy(c) for c in decision.order]
        waits = [wait for wait in waits if wait > 0]
        if not waits:
            return  # every candidate failed rather than being busy: look at what is left
        remaining = max(0.0, self._deadline - self._workers.now())
        self._waited_for_slot = True
        spread = self._workers.rng.uniform(1.0, 1.5)
        await asyncio.sleep(min(remaining, max(PAUSE_LEAST, min(waits)) * spread))

    async def _receive(self) -> WorkerMessage:
        assert self._attempt is not None
        if self._started:  # from here on the link itself notices silence
            return await self._attempt.receive()
        self._listening_since = self._workers.now()
        try:
            return await self._attempt.receive()
        finally:
            self._listening_since = math.inf

    def _note_progress(self, progress: Progress) -> None:
        self._waited_for_slot = self._waited_for_slot or progress.state == "queued"
        self._eta = progress.eta or self._eta

    def _check_deadline(self) -> None:
        if self._workers.now() < self._deadline:
            return
        if self._waited_for_slot:
            raise self._overloaded()
        raise JobFailed(f"No node gave a first answer within {self._request.deadline:g} s")

    async def _replace_worker(self, reason: str) -> None:
        """Go on with the next candidate, which the client must not notice."""
        node = self.node
        log.warning("job %s on %s: %r", self._request.job_id, node, reason)
        self._give_up(node)
        if self._started:
            raise JobFailed("The node that served this request was lost before it was done")
        self._check_deadline()
        await self.find_worker()

    def _raise_if_final(self, code: str, reason: str, param: str | None, final: bool) -> None:
        kind = _FINAL.get(code)
        if final and kind is not None:
            self._release(cancel=False)
            raise kind(reason, param=param)

    def _give_up(self, node: NodeId, *, forever: bool = True) -> None:
        self._first = None
        self._release(cancel=True)
        if forever:
            self._failed.add(node)

    def _release(self, *, cancel: bool) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and cancel:
            attempt.cancel()
        self._workers.let_go(self)

    def _all_failed(self) -> JobError:
        model = self._job.model
        if self._refusals and self._refusals <= {"model_not_found", "draining"}:
            return ModelUnavailable(f"No node serves '{model}' at present; try again shortly")
        if self._refusals == {"not_supported"}:
            return NotSupported(f"No node serves '{model}' with what the request asks for")
        return JobFailed("Every node that serves the model failed at this request")

    def _nobody_fits(self, decision: Decision) -> JobError:
        lacking = [name[3:] for name in decision.excluded if name.startswith("no_")]
        if lacking:
            what = ", ".join(sorted(lacking))
            return NotSupported(f"No node serves '{self._job.model}' with {what}")
        if "context" in decision.excluded:
            return ContextTooLong("The prompt does not fit the context of any node's model")
        if "privacy" in decision.excluded:
            privacy = self._request.privacy
            return ModelUnavailable(f"No node that may see a '{privacy}' request serves the model")
        return ModelUnavailable(
            f"Every node that serves '{self._job.model}' is starting or leaving"
        )

    def _overloaded(self) -> Overloaded:
        self._release(cancel=True)
        retry_after = max(1, math.ceil(self._eta))
        return Overloaded(
            f"Every node that serves '{self._job.model}' is busy; try again in {retry_after} s",
            retry_after=retry_after,
        )
