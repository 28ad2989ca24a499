"""Runs the jobs this node is offered, by peers or by its own gateway.

One job's life: check the offer, wait for a slot, pull the engine, send what comes, settle. Nothing
is pulled from an engine faster than `send` takes it. Cancelling `execute` stops the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, Protocol

from mesh.capability import Load, ModelRef
from mesh.clock import Clock
from mesh.errors import (
    EngineError,
    EngineUnavailable,
    JobError,
    LinkError,
    WireError,
)
from mesh.ids import NodeId
from mesh.jobs import Chunk, JobSpec, Privacy
from mesh.lifecycle import Tasks
from mesh.ports import Link, Progress, Stream
from mesh.privacy import refuse_private
from mesh.wire.jobs import (
    MAX_HOPS,
    Accept,
    Fail,
    Finished,
    Offer,
    Refuse,
    WorkerMessage,
    decode_offer,
    encode,
)
from services.batch import Batch, is_end_alone, stream_for_loss
from services.engines.engine import Engine, Event
from services.execution import Execution, Send
from services.job_body import receive_body
from services.queue import SlotQueue
from services.slots import Slots
from services.window import Window

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.25
"""A job that has sent nothing for this long says that it is alive."""
TICK = 0.1
"""Seconds between looks for such jobs, and between two reports of a changed load.

A job that has its slot and no answer yet at a tick is accepted then; one that was answered before
needs no Accept, since its first chunk says as much.
"""
JOB_SECONDS_WEIGHT = 0.2
"""Weight of the newest job in the moving average of job length."""

STALL_SECONDS = 120.0
"""A job whose gateway has taken nothing for this long is stopped: it holds a slot for nobody."""
DEADLINE_GRACE = 5.0
"""Seconds past its deadline after which a job without an answer is stopped here, too."""

ReadBody = Callable[[], Awaitable[JobSpec]]
Outcome = Literal["completed", "failed", "cancelled"]


class EngineSource(Protocol):
    """Where the host finds engines: the catalog."""

    def find(self, model: str) -> tuple[Engine, ModelRef, int] | None:
        """Engine, model and the engine's slots for a name or alias; None when not served."""
        ...

    def observe(self, model: ModelRef, tokens: int, seconds: float) -> None:
        """Told how fast a finished job went."""
        ...

    def withdraw(self, engine: Engine, reason: str) -> None:
        """Told that an engine stopped answering."""
        ...


@dataclass(slots=True)
class HostCounters:
    """What the host did since start, for metrics."""

    accepted: int = 0
    refused: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    tokens: int = 0


class Host:
    """Accepts or refuses offers, and runs accepted ones within slots and limits."""

    def __init__(
        self,
        *,
        engines: EngineSource,
        clock: Clock,
        tasks: Tasks,
        queue_limit: int,
        slots: int | None = None,
        over_memory_cap: Callable[[], bool] = lambda: False,
        on_load: Callable[[Load], None] = lambda _: None,
        offering: Callable[[], Collection[str]] | None = None,
        refusal: Callable[[NodeId, Privacy], str] = refuse_private,
    ) -> None:
        """`slots`: jobs at once on this node over all engines, instead of each engine's own.

        `offering` names the engines on offer now; what is kept of others ends with their jobs.
        `refusal` says why a gateway's request of a privacy class may not be served; "": it may.

        `on_load` is told the load soon after jobs came or went, at most ten times a second.
        """
        self._engines = engines
        self._clock = clock
        self._tasks = tasks
        self._slots = Slots(slots, queue_limit)
        self._over_memory_cap = over_memory_cap
        self._on_load = on_load
        self._offering = offering
        self._refusal = refusal
        self._executions: set[Execution] = set()
        self._job_seconds = 0.0
        self._load_changed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        self.paused = ""
        """Why nothing new is taken for now; "" while jobs are welcome."""
        self.counters = HostCounters()

    def start(self) -> None:
        """Begin to send signs of life for slow jobs."""
        self._tasks.supervise(self._tick, "ticks")

    @property
    def in_flight(self) -> int:
        """Jobs accepted and not over, queued ones included."""
        return len(self._executions)

    def busy_with(self, engine: Engine) -> int:
        """Jobs here that an engine runs or will run."""
        return sum(each.engine is engine for each in self._executions)

    def load(self) -> Load:
        """What to tell others about how busy this node is."""
        if self._offering is not None:
            self._slots.forget_but(self._offering())
        queues = self._slots.queues()
        return Load(
            in_flight=sum(queue.running for queue in queues),
            queued=sum(queue.queued for queue in queues),
            slots=sum(queue.slots for queue in queues),
            job_seconds=round(self._job_seconds, 4),
        )

    def limit_slots(self, most: int | None) -> None:
        """Jobs at once from now on, over all engines; None: as many as each engine says."""
        seated: list[Execution] = sorted(self._executions, key=lambda each: each.arrived)
        self._slots.limit(most, seated)
        self._load_changed = True

    async def wait_idle(self) -> None:
        """Return when no job is here any more."""
        await self._idle.wait()

    async def serve(self, link: Link, stream: Stream) -> None:
        """Handle one JOB stream a peer opened."""
        data = await stream.receive()
        if data is None:
            return
        try:
            offer = decode_offer(data)
        except WireError as error:
            await stream.send(encode(Refuse("invalid_request", str(error))))
            return

        def send(message: WorkerMessage) -> Awaitable[None]:
            return stream.send(encode(message))

        if offer.origin != link.peer:
            await stream.send(encode(Refuse("origin", "an offer comes from its own gateway")))
            return
        if reason := self._refusal(link.peer, offer.privacy):
            self.counters.refused += 1
            await stream.send(encode(Refuse("privacy", reason)))
            return
        job = asyncio.current_task()
        assert job is not None
        stream.on_failure(job.cancel)  # the client left, or its gateway did: stop the engine
        window = Window(offer.window, stream.receive) if offer.window else None
        await self.execute(offer, send, lambda: receive_body(stream, offer.body_size), window)

    async def execute(
        self,
        offer: Offer,
        send: Send,
        read_body: ReadBody | None = None,
        window: Window | None = None,
    ) -> None:
        """Run one offer to its end; every outcome is sent.

        `read_body` fetches the job of an offer that came without it. Raises only LinkError.
        """
        admitted = self._admit(offer, send, window)
        if isinstance(admitted, Refuse):
            self.counters.refused += 1
            await send(admitted)
            return
        engine, model, execution = admitted
        self.counters.accepted += 1
        self._load_changed = True
        outcome: Outcome = "cancelled"
        try:
            await self._wait_for_slot(execution)
            job = await read_body() if offer.body_size and read_body else offer.job
            outcome = await self._run(engine, model, job, execution)
        finally:
            self._give_slot_back(execution)
            self._executions.discard(execution)
            if not self._executions:
                self._idle.set()
            self._load_changed = True
            setattr(self.counters, outcome, getattr(self.counters, outcome) + 1)

    def _admit(
        self, offer: Offer, send: Send, window: Window | None
    ) -> Refuse | tuple[Engine, ModelRef, Execution]:
        found = self._engines.find(offer.job.model)
        if self.draining:
            return Refuse("draining", "this node is shutting down")
        if self.paused:
            return Refuse("draining", self.paused)
        if offer.hops > MAX_HOPS:
            return Refuse("hops", f"the offer travelled {offer.hops} hops, at most {MAX_HOPS}")
        if found is None:
            return Refuse("model_not_found", f"{offer.job.model} is not served here")
        if self._over_memory_cap():
            return Refuse("busy", "this node's memory cap is reached", self._job_seconds)
        engine, model, slots = found
        for feature in offer.job.needs:
            if feature not in model.features:
                return Refuse("not_supported", f"{model.name} here has no {feature}")
        queue = self._slots.queue(engine, slots)
        now = self._clock.now()
        execution = Execution(offer, engine, send, queue, arrived=now, last_sent=now, window=window)
        execution.task = asyncio.current_task()
        if not queue.try_acquire():
            execution.ticket = queue.enqueue(offer.origin)
            if execution.ticket is None:
                wait = self._job_seconds * (queue.queued + 1) / max(1, queue.slots)
                return Refuse("busy", "the queue of this node is full", wait)
        self._executions.add(execution)
        self._idle.clear()
        return engine, model, execution

    async def _wait_for_slot(self, execution: Execution) -> None:
        """Return when the job has its slot; the gateway hears at once when it has to wait."""
        queue, ticket = execution.queue, execution.ticket
        if ticket is None and not execution.offer.body_size:
            return
        execution.accepted = True
        await execution.send(_accept(queue))
        if ticket is not None:
            await execution.send(Progress("queued", queue.position(ticket), self._eta(queue)))
            await ticket.granted
            execution.queue_seconds = self._clock.now() - execution.arrived

    def _give_slot_back(self, execution: Execution) -> None:
        if execution.ticket is None:
            execution.queue.release()
        else:
            execution.queue.leave(execution.ticket)

    async def _run(
        self, engine: Engine, model: ModelRef, job: JobSpec, execution: Execution
    ) -> Outcome:
        """Pull the engine and send. Returns the counter that the outcome belongs to."""
        started = self._clock.now()
        try:
            running = stream_for_loss(job, model)
            async with aclosing(engine.run(running, model)) as events:
                finished = await self._pass_on(events, job, execution)
            if finished is not None:
                seconds = self._clock.now() - started
                self._settle(model, finished.finish.usage.completion_tokens, seconds)
                await execution.send(
                    Finished(finished.finish, finished.queue_seconds, seconds, finished.last)
                )
                return "completed"
            failure = Fail("engine_failed", f"{model.name} stopped without an end")
        except EngineError as error:
            log.warning("engine %s failed job %s: %s", engine.name, execution.offer.job_id, error)
            if isinstance(error, EngineUnavailable):
                self._engines.withdraw(engine, str(error))
            failure = Fail("engine_failed", f"the engine of {model.name} failed")
        except JobError as error:
            failure = Fail(error.code, str(error), final=True, param=error.param)
        await execution.send(failure)
        return "failed"

    async def _pass_on(
        self, events: AsyncIterator[Event], job: JobSpec, execution: Execution
    ) -> Finished | None:
        """Send chunks as the receiver takes them; None when the engine ended without a finish.

        Nobody waits for the pieces of a whole answer: they leave in batches, so that a lost worker
        takes little with it, and the last one with the finish.
        """
        batch = None if job.stream else Batch()
        async for event in events:
            if not isinstance(event, Chunk):
                last = batch.rest() if batch else None
                execution.ending = None
                return Finished(event, execution.queue_seconds, 0.0, last)
            if job.sampling.n == 1 and is_end_alone(event):
                execution.ending = None if batch else event
                continue
            for chunk in batch.add(event) if batch else (event,):
                await self._send_chunk(execution, chunk)
        return None

    async def _send_chunk(self, execution: Execution, chunk: Chunk) -> None:
        execution.answered = True
        execution.last_sent = execution.sending_since = self._clock.now()
        if execution.window is not None:
            await execution.window.make_room(chunk)
        await execution.send(chunk)
        execution.sending_since = None

    def _settle(self, model: ModelRef, tokens: int, seconds: float) -> None:
        self.counters.tokens += tokens
        self._engines.observe(model, tokens, seconds)
        weight = JOB_SECONDS_WEIGHT if self._job_seconds else 1.0
        self._job_seconds += weight * (seconds - self._job_seconds)

    def _eta(self, queue: SlotQueue) -> float | None:
        if not self._job_seconds:
            return None
        return round(self._job_seconds * queue.queued / max(1, queue.slots), 3)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            if self._load_changed:
                self._load_changed = False
                self._on_load(self.load())
            now = self._clock.now()
            self._report_progress(now)
            self._stop_stuck(now)

    def _report_progress(self, now: float) -> None:
        for execution in self._executions:
            ending, execution.ending = execution.ending, None
            if ending is not None:
                self._tasks.spawn(_send_if_wanted(execution, ending), "end")
            if not execution.answered and not execution.accepted:
                execution.accepted = True
                self._tasks.spawn(_send_if_wanted(execution, _accept(execution.queue)), "accept")
            elif not execution.signing and now - execution.last_sent >= PROGRESS_SECONDS:
                execution.last_sent = now
                self._tasks.spawn(self._send_progress(execution), "sign-of-life")

    def _stop_stuck(self, now: float) -> None:
        for execution in self._executions:
            since = execution.sending_since
            late = now > execution.arrived + execution.offer.deadline + DEADLINE_GRACE
            stalled = since is not None and now - since > STALL_SECONDS
            if execution.task is not None and (stalled or (late and not execution.answered)):
                log.warning("job %s is stopped: nobody takes it", execution.offer.job_id)
                execution.task.cancel()

    async def _send_progress(self, execution: Execution) -> None:
        ticket, queue = execution.ticket, execution.queue
        waiting = ticket is not None and not ticket.granted.done()
        position = queue.position(ticket) if ticket is not None and waiting else 0
        message = Progress("queued" if waiting else "running", position, self._eta(queue))
        execution.signing = True
        await _send_if_wanted(execution, message)
        execution.signing = False


def _accept(queue: SlotQueue) -> Accept:
    return Accept(queue.running, queue.queued, queue.slots)


async def _send_if_wanted(execution: Execution, message: WorkerMessage) -> None:
    try:
        await execution.send(message)
    except LinkError:
        log.debug("the gateway of job %s is gone", execution.offer.job_id)
