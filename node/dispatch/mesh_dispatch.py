"""The `Dispatch` port over the mesh: view → policy → offer → the worker's messages."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from random import Random

from coordinator.scheduling.experience import Experience
from coordinator.scheduling.policy import Candidate
from coordinator.scheduling.prefixes import Mark
from coordinator.scheduling.trace import Traces
from mesh.clock import Clock
from mesh.errors import InvalidRequest, JobError, WireError
from mesh.ids import NodeId
from mesh.jobs import JobSpec
from mesh.lifecycle import Tasks
from mesh.ports import Links, ProviderLookup, Request, StreamKind, View
from mesh.wire.jobs import Accept, Offer, WorkerMessage, encode_offer
from node.dispatch.attempt import WINDOW, Attempt, LocalAttempt, RemoteAttempt
from node.dispatch.candidates import OwnModels
from node.dispatch.chooser import Chooser
from node.dispatch.confidants import Confidants
from node.dispatch.counters import DispatchCounters
from node.dispatch.run import MeshRun
from node.dispatch.workers import Held
from node.settling import Settling
from services.host import Host

CONNECT_SECONDS = 2.0
"""Patience for dialling a worker that has no link yet, before the next candidate gets the job."""
WATCH_EVERY = 0.1
"""Seconds between looks for workers that have fallen silent."""


class MeshDispatch:
    """Chooses a worker from local state and talks to it directly; asks no coordinator.

    Implements `Dispatch`, and the `Workers` that its runs ask.
    """

    def __init__(
        self,
        *,
        node_id: NodeId,
        links: Links,
        view: View,
        lookup: ProviderLookup | None,
        catalog: OwnModels,
        host: Host,
        aliases: Mapping[str, str],
        clock: Clock,
        tasks: Tasks,
        rng: Random,
        settling: Settling | None = None,
        confidants: Confidants | None = None,
    ) -> None:
        """`confidants` tell who may see private requests; without it only this node may."""
        self._confidants = confidants or Confidants.of_nobody(node_id)
        self._node_id = node_id
        self._links = links
        self._host = host
        self._tasks = tasks
        self.now = clock.now
        self.rng = rng
        self.outstanding: dict[NodeId, int] = {}
        """Jobs from here per node, now."""
        self._runs: dict[Held, NodeId] = {}
        self.counters = DispatchCounters()
        self.traces = Traces()
        """What happened to the last requests."""
        self._chooser = Chooser(
            node_id=node_id,
            view=view,
            lookup=lookup,
            catalog=catalog,
            own_load=host.load,
            aliases=aliases,
            outstanding=self.outstanding,
            counters=self.counters,
            now=clock.now,
            rng=rng,
            settling=settling,
            confidants=self._confidants,
        )
        self.experience: Experience = self._chooser.scout.experience
        """What was seen of workers' pace."""
        self.choose = self._chooser.choose
        self.seconds_busy = self._chooser.seconds_busy
        self.note_busy = self._chooser.note_busy

    def start(self) -> None:
        """Begin to watch for workers that fall silent."""
        self._tasks.supervise(self._watch_silence, "silence")

    async def submit(self, job: JobSpec, request: Request) -> MeshRun:
        """See mesh.ports.Dispatch."""
        self.counters.submitted += 1
        run = MeshRun(self, job, request)
        try:
            await run.find_worker()
        except JobError as error:
            run.trace.failed(self.now(), error.code)
            await run.close()
            raise
        except BaseException:
            await run.close()
            raise
        return run

    def note_accepted(self, node: NodeId, answer: WorkerMessage, marks: tuple[Mark, ...]) -> None:
        """A node took a job whose prompt has these beginnings, and may have told its load."""
        if isinstance(answer, Accept):
            self.experience.accepted(node, answer.in_flight, answer.queued)
        if marks:
            self._chooser.scout.prefixes.remember(marks, node, self.now())

    async def start_attempt(
        self, candidate: Candidate, job: JobSpec, request: Request, attempt: int
    ) -> Attempt:
        """Send an offer; `attempt` counts from 1.

        Raises LinkError or TimeoutError when there is no way, Untrusted when the node may not see
        the request, InvalidRequest when it is too large.
        """
        if attempt > 1:
            self.counters.retries += 1
        name = candidate.model.ref.name
        if job.model != name:
            job = dataclasses.replace(job, model=name)
        offer = Offer(
            job_id=request.job_id,
            attempt=attempt,
            origin=self._node_id,
            tenant=request.principal.tenant,
            privacy=request.privacy,
            priority=request.priority,
            deadline=request.deadline,
            hops=1,
            job=job,
            window=WINDOW if "resume" in candidate.model.ref.features else 0,
        )
        if candidate.node == self._node_id:
            self.counters.local += 1
            return LocalAttempt(self._host, offer, self._tasks)
        try:
            data, body = encode_offer(offer)
        except WireError as error:
            raise InvalidRequest(str(error)) from error
        link = self._links.get(candidate.node)
        if link is None:
            link = await self._links.connect(
                candidate.node, candidate.addresses, timeout=CONNECT_SECONDS
            )
        self._confidants.check(link.peer, request.privacy)
        stream = link.open(StreamKind.JOB)
        await stream.send(data)
        if not body and not offer.window:
            stream.finish()
        self.counters.remote += 1
        return RemoteAttempt(stream, body, self._tasks, window=offer.window > 0)

    def hold(self, run: Held, node: NodeId) -> None:
        """Count a run as being on a node, until `let_go`."""
        self._runs[run] = node
        self.outstanding[node] = self.outstanding.get(node, 0) + 1
        self.experience.sent(node)

    def let_go(self, run: Held) -> None:
        """The run is on no node any more. Harmless when it was on none."""
        node = self._runs.pop(run, None)
        if node is None:
            return
        self.experience.left(node)
        left = self.outstanding[node] - 1
        if left:
            self.outstanding[node] = left
        else:
            del self.outstanding[node]

    async def _watch_silence(self) -> None:
        last = self.now()
        while True:
            await asyncio.sleep(WATCH_EVERY)
            now = self.now()
            # As for links: a node that was itself stopped or busy accuses nobody.
            waking, last = min(now - last, 2 * WATCH_EVERY), now
            for run in list(self._runs):
                run.check_silence(now, waking)
                run.meter.measure(now)
