"""Runs jobs for clients: submit, pull events, and close the run whatever happens."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import JobError, JobFailed
from mesh.jobs import Chunk, Finish, JobSpec, Privacy
from mesh.ports import Dispatch, JobEvent, Progress, Request, Run
from node.gateway.admission import PRIVACY_HEADER, privacy_of
from node.gateway.collected import Collected
from node.gateway.exchange import Headers, Incoming, Reply
from node.gateway.faults import INTERNAL, Fault, fault_of
from node.gateway.live_stream import LiveStream, Renderer
from node.gateway.metrics import Metrics
from node.gateway.settings import GatewaySettings
from node.gateway.sse import milliseconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job that went well and whose answer was collected."""

    answer: Collected
    run: Run
    headers: Headers


class Generation:
    """The gateway's way into the mesh."""

    def __init__(
        self, *, dispatch: Dispatch, metrics: Metrics, settings: GatewaySettings, clock: Clock
    ) -> None:
        self._dispatch = dispatch
        self._metrics = metrics
        self._settings = settings
        self._clock = clock

    async def whole(self, job: JobSpec, incoming: Incoming) -> Outcome:
        """Run a job to its end and collect it. Raises JobError."""
        run = await self._submit(job, incoming)
        events = run.events()
        try:
            answer = Collected(job.sampling.n, logprobs=job.sampling.logprobs is not None)
            waiting = True
            async for event in events:
                if isinstance(event, Chunk):
                    if waiting:
                        waiting = False
                        self._first_token(incoming)
                    answer.add(event)
                elif isinstance(event, Finish):
                    answer.finish = event
                    self._count(event)
                    return Outcome(answer, run, self._headers(run, incoming))
            raise _unfinished()
        finally:
            await _close(run, events)

    async def stream(
        self,
        job: JobSpec,
        incoming: Incoming,
        reply: Reply,
        renderer: Renderer,
        render_fault: Callable[[Fault], bytes],
    ) -> None:
        """Run a job and send events as they come. Raises JobError only before the first byte."""
        run = await self._submit(job, incoming)
        events = run.events()
        live = LiveStream(
            run=run,
            reply=reply,
            renderer=renderer,
            headers=lambda run: self._headers(run, incoming),
            hold=self._settings.hold_seconds,
            keep_alive=self._settings.keep_alive_seconds,
        )
        try:
            await self._deliver(live, events, job.sampling.n, incoming)
        except ConnectionError:
            raise
        except Exception as error:  # whatever broke, a stream that has begun says so itself
            if not live.begun:
                raise
            await live.fail(render_fault(fault_from(error)))
        finally:
            live.stop()
            await _close(run, events)

    async def _deliver(
        self, live: LiveStream, events: AsyncIterator[JobEvent], choices: int, incoming: Incoming
    ) -> None:
        waiting = True
        async for event in events:
            if isinstance(event, Chunk):
                if waiting:
                    waiting = False
                    self._first_token(incoming)
                if not 0 <= event.index < choices:
                    raise JobFailed("the worker answered a choice that was not asked for")
                await live.chunk(event)
            elif isinstance(event, Finish):
                self._count(event)
                await live.finish(event)
                return
            elif isinstance(event, Progress):
                await live.progress(event)
            else:
                await live.resumed()
        raise _unfinished()

    async def _submit(self, job: JobSpec, incoming: Incoming) -> Run:
        request = Request(
            job_id=incoming.job_id,
            principal=incoming.principal,
            deadline=self._settings.first_byte_seconds,
            privacy=self._privacy(incoming),
            request_id=incoming.request_id,
        )
        return await self._dispatch.submit(job, request)

    def _headers(self, run: Run, incoming: Incoming) -> Headers:
        elapsed = self._clock.now() - incoming.started
        return [
            ("x-electrons-node", run.node),
            (PRIVACY_HEADER, self._privacy(incoming)),
            ("x-electrons-queue-ms", str(milliseconds(run.queue_seconds))),
            ("x-electrons-routing-ms", str(milliseconds(run.routing_seconds))),
            ("openai-processing-ms", str(milliseconds(elapsed))),
        ]

    def _privacy(self, incoming: Incoming) -> Privacy:
        return privacy_of(incoming.head.headers, self._settings.default_privacy)

    def _first_token(self, incoming: Incoming) -> None:
        self._metrics.first_token.observe(self._clock.now() - incoming.started)

    def _count(self, finish: Finish) -> None:
        self._metrics.tokens_in += finish.usage.prompt_tokens
        self._metrics.tokens_out += finish.usage.completion_tokens


async def _close(run: Run, events: AsyncIterator[JobEvent]) -> None:
    await run.close()
    # A generator left half-way would be finished by the garbage collector, too late.
    if isinstance(events, AsyncGenerator):
        await events.aclose()


def fault_from(error: Exception) -> Fault:
    """The fault for any error; what nobody expected is logged and not told."""
    if isinstance(error, JobError):
        return fault_of(error)
    log.error("a request failed unexpectedly", exc_info=error)
    return INTERNAL


def _unfinished() -> JobFailed:
    return JobFailed("the worker ended its answer without finishing it")
