"""One job on its way: from candidate to candidate until one answers, then chunk by chunk.

seeking ──Accept──▶ accepted ──first Chunk──▶ answering ──Finished──▶ over
   ▲                    │ lost: next candidate     │ lost: another one goes on from what
   ├────────────────────┘                          │ was given out, or the job fails
   └───────────────────────────────────────────────┘

Only the newest attempt is ever read, so nothing that an older one still sends reaches the client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from coordinator.scheduling.policy import Candidate, Decision
from coordinator.scheduling.prefixes import marks_of
from mesh.capability import ModelRef
from mesh.errors import JobError, JobFailed, LinkError, WireError
from mesh.ids import NodeId
from mesh.jobs import Chunk, JobSpec
from mesh.ports import JobEvent, Progress, Request, Resumed
from mesh.resuming import same_weights
from mesh.wire.jobs import Accept, Fail, Finished, Refuse, WorkerMessage
from node.dispatch.attempt import Attempt
from node.dispatch.candidates import make_demand
from node.dispatch.confidants import Untrusted
from node.dispatch.emitted import EXACT_ENGINES, Answer, decide_recovery
from node.dispatch.meter import Meter
from node.dispatch.verdicts import (
    all_failed,
    cause_of,
    final_error,
    lost,
    nobody_fits,
    overloaded,
)
from node.dispatch.workers import Workers

log = logging.getLogger(__name__)

SILENCE_SECONDS = 2.0
"""A worker that has accepted gives a sign of life every 0.25 s; this long without is a loss..."""
STALL_SECONDS = 1.25
"""...and so is this long once the client has begun to read, where another worker can go on."""
PAUSE_LEAST = 0.05
"""Seconds between rounds in which every candidate was busy; longer if they said so."""
SUCCESSOR_SECONDS, SUCCESSOR_PAUSE = 3.0, 0.1
"""For how long a successor is looked for where there is none at first, and how often."""
MAX_FAILURES = 16
"""Workers that may fail at one job, one after the other, before it is given up. Busy ones do not
count."""
MAX_LOSSES = 32
"""Workers that may be lost after they began to answer."""
SEED_BITS = 63


class MeshRun:
    """See mesh.ports.Run."""

    def __init__(self, workers: Workers, job: JobSpec, request: Request) -> None:
        self._workers = workers
        self._job = job
        self._request = request
        self._demand = make_demand(job, request)
        self._submitted = self._workers.now()
        self._marks = marks_of(job, request.principal.tenant)
        self.meter = Meter(workers.experience)
        self.trace = workers.traces.open(request, job.model, self._submitted)
        self._deadline = self._submitted + request.deadline
        self._attempt: Attempt | None = None
        self._first: WorkerMessage | None = None
        """By what the worker accepted, when that was more than Accept."""
        self._node: NodeId | None = None
        self._model: ModelRef | None = None
        """What the newest worker runs the job on."""
        self._answer = Answer(job.sampling.n)
        self._answered = False
        """The newest worker has sent a chunk."""
        self._losses = 0
        self._failed: set[NodeId] = set()
        self._cut_off: set[NodeId] = set()
        """Of these the ones to whom the way was lost: another relay may lead there."""
        self._refusals: set[str] = set()
        """Why workers did not want the job; codes we do not know are kept, at most one a worker."""
        self._eta = 1.0
        self._waited_for_slot = False
        self._listening = False
        """It waits for the worker's next message."""
        self._silence = 0.0
        """Seconds of this node's own waking time that it has waited."""
        self.attempts = 0
        self.routing_seconds = 0.0
        self.queue_seconds = 0.0

    @property
    def node(self) -> NodeId:
        """Who serves it now."""
        if self._node is None:
            raise RuntimeError("the job has not been accepted yet")
        return self._node

    async def find_worker(self) -> None:
        """Offer the job around until someone accepts. Raises JobError."""
        while True:
            self._check_deadline()
            decision = await self._choose()
            if not decision.order:
                raise nobody_fits(self._job.model, decision, self._request)
            offers = self.attempts
            for candidate in decision.order:
                self._check_deadline()
                if self._workers.seconds_busy(candidate) <= 0 and await self._offer(candidate):
                    return
            if self.attempts == offers or not decision.sampled:
                await self._pause(decision)  # else there are others to draw

    async def events(self) -> AsyncIterator[JobEvent]:
        """See mesh.ports.Run."""
        try:
            while True:
                try:
                    message = self._first or await self._receive()
                    self._first = None
                    if isinstance(message, Chunk):
                        self._answer.add(message)
                    elif isinstance(message, Finished) and message.last is not None:
                        self._answer.add(message.last, last=True)
                except (LinkError, WireError) as error:
                    self._cut_off.add(self.node)
                    for event in await self._replace_worker(str(error), cause_of(error)):
                        yield event
                    continue
                if isinstance(message, Chunk):
                    if not self._answered:
                        self._answered = True
                        self.trace.started_answering(self._workers.now(), self.node)
                    self.meter.add(message)
                    yield message
                elif isinstance(message, Progress):
                    if not self._answered:
                        self._note_progress(message)
                        yield message
                elif isinstance(message, Finished):
                    self.queue_seconds = message.queue_seconds
                    self._note_finished(message)
                    self._release(cancel=False)
                    if message.last is not None:
                        yield message.last
                    yield self._answer.complete(message.finish)
                    return
                elif isinstance(message, Fail | Refuse):
                    self._raise_if_final(message)
                    for event in await self._replace_worker(message.reason, message.code):
                        yield event
        except JobError as error:
            self.trace.failed(self._workers.now(), error.code)
            raise

    async def close(self) -> None:
        """See mesh.ports.Run."""
        if self.trace.outcome is None:
            self.trace.cancelled(self._workers.now())
        self._release(cancel=True)

    def check_silence(self, now: float, waking: float) -> None:
        """Give up a worker that has not shown life for too long, or is too late.

        Called every so often, `waking` seconds of this node's waking time after the last call: a
        tenth of a second late is good enough, and far cheaper than a timer per message.
        """
        if self._attempt is None:
            return
        if self._listening:
            self._silence += waking
        late = now > self._deadline and not self._answered
        if late or (self._silence > STALL_SECONDS and self._silence > self._patience()):
            self._attempt.cancel()

    def _patience(self) -> float:
        """Seconds of silence that the worker may have; without end where only its link can tell."""
        if not self._answered:
            return STALL_SECONDS if self._job.resume else SILENCE_SECONDS
        assert self._model is not None
        if "resume" not in self._model.features:  # it may be of before signs of life went on
            return float("inf")
        recovery, _ = decide_recovery(self._job, self._model, self._answer)
        return float("inf") if recovery == "fail" else STALL_SECONDS

    async def _choose(self) -> Decision:
        if len(self._failed) > MAX_FAILURES:
            raise all_failed(self._job.model, self._refusals, self._request.privacy)
        model, workers = self._job.model, self._workers
        patience = self._deadline - workers.now()
        decision = await workers.choose(model, self._demand, self._marks, self._may_take, patience)
        self.trace.decided(workers.now(), decision)
        if not decision.order and not decision.excluded:
            raise all_failed(model, self._refusals, self._request.privacy)
        return decision

    def _may_take(self, candidate: Candidate) -> bool:
        """None that failed; and only the same weights may go on with what they began."""
        if candidate.node in self._failed:
            return False
        if not self._job.resume or self._model is None:
            return True
        return same_weights(candidate.model.ref, self._model)

    async def _offer(self, candidate: Candidate) -> bool:
        """True when the candidate accepted. Raises JobError when no other could do better."""
        self.attempts += 1
        self._node = candidate.node
        self._answered = False
        self._fix_seed(candidate.model.ref)
        self._workers.hold(self, candidate.node)
        now = self._workers.now()
        self.meter.begin(candidate.node, candidate.model.ref.name, now)
        self.trace.offered(now, candidate.node, self.attempts)
        try:
            self._attempt = await self._workers.start_attempt(
                candidate, self._job, self._request, self.attempts
            )
            if not self._job.resume:
                self.routing_seconds = self._workers.now() - self._submitted
            answer = await self._receive()
        except (LinkError, WireError, TimeoutError) as error:
            log.info("job %s: %s is no way: %r", self._request.job_id, candidate.node, error)
            self.trace.unreachable(self._workers.now(), candidate.node, cause_of(error))
            if isinstance(error, Untrusted):
                self._refusals.add("privacy")
            else:
                self._cut_off.add(candidate.node)
            self._give_up(candidate.node)
            return False
        if not isinstance(answer, Refuse):
            self._note_accepted(candidate, answer)
            return True
        self._give_up(candidate.node, forever=False)
        self._judge(candidate, answer)
        return False

    def _note_accepted(self, candidate: Candidate, answer: WorkerMessage) -> None:
        self._model = candidate.model.ref
        self.trace.accepted(self._workers.now(), candidate.node)
        self._workers.note_accepted(candidate.node, answer, self._marks)
        self._first = None if isinstance(answer, Accept) else answer

    def _note_finished(self, message: Finished) -> None:
        now = self._workers.now()
        if message.last is not None:
            self.meter.add(message.last)
        self.meter.end(now, whole=not self._job.resume)
        self.trace.finished(now, self.node)

    def _fix_seed(self, model: ModelRef) -> None:
        """Draw a seed if the client left it open: all workers of the job have to draw alike."""
        if self._job.sampling.seed is not None or model.engine not in EXACT_ENGINES:
            return
        if "resume" in model.features:
            sampling = replace(self._job.sampling, seed=self._workers.rng.getrandbits(SEED_BITS))
            self._job = replace(self._job, sampling=sampling)

    def _judge(self, candidate: Candidate, refusal: Refuse) -> None:
        """What a worker's refusal means for the rest of the search."""
        now, retry_after = self._workers.now(), refusal.retry_after
        self.trace.refused(now, candidate.node, refusal.code, retry_after)
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
        wait = min(remaining, max(PAUSE_LEAST, min(waits)) * spread)
        self.trace.waited(self._workers.now(), wait)
        await asyncio.sleep(wait)

    async def _receive(self) -> WorkerMessage:
        assert self._attempt is not None
        self._silence = 0.0
        self._listening = True
        try:
            return await self._attempt.receive()
        finally:
            self._listening = False

    def _note_progress(self, progress: Progress) -> None:
        self._waited_for_slot = self._waited_for_slot or progress.state == "queued"
        self._eta = progress.eta or self._eta
        if progress.state == "queued":
            self.meter.still_queued(self._workers.now())

    def _check_deadline(self) -> None:
        if self._workers.now() < self._deadline:
            return
        if self._waited_for_slot:
            self._release(cancel=True)
            raise overloaded(self._job.model, self._eta)
        raise JobFailed(f"No node gave a first answer within {self._request.deadline:g} s")

    async def _replace_worker(self, reason: str, code: str) -> tuple[Resumed, ...]:
        """Go on elsewhere; what to tell the client of it. Raises JobError where that is wrong."""
        node, model = self.node, self._model
        assert model is not None
        log.warning("job %s on %s: %r", self._request.job_id, node, reason)
        self.trace.lost(self._workers.now(), node, code, self.meter.characters)
        recovery, why = decide_recovery(self._job, model, self._answer)
        if self._answered:
            self._losses += 1
            self._failed.clear()  # whoever failed before has had the time to come back
            self._deadline = self._workers.now() + self._request.deadline
        self._give_up(node)
        if recovery == "fail" or self._losses > MAX_LOSSES:
            self._workers.counters.not_resumable += 1
            raise lost(why or "too many nodes were")
        if recovery == "restart":
            self._workers.counters.restarted += 1
            self._answer = Answer(self._job.sampling.n)
            self.meter.characters = 0
            self._check_deadline()
            await self.find_worker()
            return ()
        return (await self._find_successor(model),)

    async def _find_successor(self, model: ModelRef) -> Resumed:
        """Offer what is left of the job around; patiently, for the client has half an answer."""
        workers = self._workers
        self._resume_on(model)
        until = workers.now() + SUCCESSOR_SECONDS
        while True:
            try:
                await self.find_worker()
            except JobError as error:
                if workers.now() >= until:
                    workers.counters.not_resumable += 1
                    raise lost("no other node could go on with it") from error
                await asyncio.sleep(SUCCESSOR_PAUSE)
                self._failed -= self._cut_off
            else:
                workers.counters.resumed += 1
                self.trace.resumed(workers.now(), self.node, self.meter.characters)
                return Resumed(self.node)

    def _resume_on(self, model: ModelRef) -> None:
        """From now on the job is what is left of it."""
        if not self._job.resume:
            needs = (*self._job.needs, "resume")
            self._job = replace(self._job, model=model.name, needs=needs)
            self._demand = replace(self._demand, needs=needs)
        self._job = replace(self._job, resume=self._answer.emitted())

    def _raise_if_final(self, message: Fail | Refuse) -> None:
        """Wrong everywhere; but what is left of a job may only be wrong for this one engine."""
        if isinstance(message, Refuse) or not message.final or self._job.resume:
            return
        error = final_error(message.code, message.reason, message.param)
        if error is not None:
            self._release(cancel=False)
            raise error

    def _give_up(self, node: NodeId, *, forever: bool = True) -> None:
        self._first = None
        self._release(cancel=True)
        if forever:
            self._failed.add(node)

    def _release(self, *, cancel: bool) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel() if cancel else attempt.settle()
        self.meter.stop()
        self._workers.let_go(self)
