"""The `Dispatch` port over the mesh: view → policy → offer → the worker's messages."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Protocol

from coordinator.scheduling.policy import Candidate
from mesh.capability import ModelRef, Peer, ServedModel
from mesh.clock import Clock
from mesh.errors import InvalidRequest, ModelNotFound, ModelUnavailable, WireError
from mesh.ids import NodeId
from mesh.jobs import JobSpec
from mesh.lifecycle import Tasks
from mesh.ports import Links, Provider, ProviderLookup, Request, StreamKind, View
from mesh.wire.jobs import Offer, encode_offer
from node.dispatch.attempt import Attempt, LocalAttempt, RemoteAttempt
from node.dispatch.candidates import (
    AUTO,
    not_found,
    own_candidate,
    prefer_real,
    remote_candidate,
    resolve_alias,
)
from node.dispatch.counters import DispatchCounters
from node.dispatch.run import MeshRun
from services.engines.engine import Engine
from services.host import Host

CONNECT_SECONDS = 2.0
"""Patience for dialling a worker that has no link yet, before the next candidate gets the job."""
LOOKUP_SECONDS = 2.0
"""Patience for the DHT when nobody in the view serves a model."""
BUSY_LEAST, BUSY_MOST = 0.05, 2.0
"""A node that refused as busy is passed over for as long as it said, within these seconds."""
WATCH_EVERY = 0.1
"""Seconds between looks for workers that have fallen silent."""
MAX_BUSY = 2_000
"""Nodes remembered as busy; as many as the directory holds."""


class OwnModels(Protocol):
    """What this node serves itself: the catalog."""

    def find(self, model: str) -> tuple[Engine, ModelRef, int] | None: ...

    def models(self) -> tuple[ServedModel, ...]: ...


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
    ) -> None:
        self._node_id = node_id
        self._links = links
        self._view = view
        self._lookup = lookup
        self._catalog = catalog
        self._host = host
        self._aliases = aliases
        self._tasks = tasks
        self.now = clock.now
        self.rng = rng
        self.outstanding: Counter[NodeId] = Counter()
        """Jobs from here per node, now."""
        self._busy: dict[NodeId, float] = {}
        self._runs: dict[MeshRun, NodeId] = {}
        self.counters = DispatchCounters()

    def start(self) -> None:
        """Begin to watch for workers that fall silent."""
        self._tasks.supervise(self._watch_silence, "silence")

    async def submit(self, job: JobSpec, request: Request) -> MeshRun:
        """See mesh.ports.Dispatch."""
        self.counters.submitted += 1
        run = MeshRun(self, job, request)
        try:
            await run.find_worker()
        except BaseException:
            await run.close()
            raise
        return run

    async def candidates(self, model: str) -> list[Candidate]:
        """Who may run it now. Raises ModelNotFound or ModelUnavailable when nobody does."""
        name = resolve_alias(model, self._aliases, self._serves) if self._aliases else model
        found = prefer_real(self._every()) if name == AUTO else self._named(name)
        if not found and name != AUTO and self._lookup is not None:
            found = await self._look_up(self._lookup, name)
        if not found:
            raise self._nobody(name)
        return found

    def seconds_busy(self, candidate: Candidate) -> float:
        """How long a node that refused as busy should still be passed over; 0.0: not at all."""
        return max(0.0, self._busy.get(candidate.node, 0.0) - self.now())

    def note_busy(self, candidate: Candidate, retry_after: float) -> None:
        """Remember a refusal so that this gateway does not knock again at once."""
        if len(self._busy) >= MAX_BUSY:
            self._busy.clear()
        pause = min(BUSY_MOST, max(BUSY_LEAST, retry_after))
        self._busy[candidate.node] = self.now() + pause

    async def start_attempt(
        self, candidate: Candidate, job: JobSpec, request: Request, attempt: int
    ) -> Attempt:
        """Send an offer; `attempt` counts from 1.

        Raises LinkError or TimeoutError when there is no way, InvalidRequest when it is too large.
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
        stream = link.open(StreamKind.JOB)
        await stream.send(data)
        if not body:
            stream.finish()
        self.counters.remote += 1
        return RemoteAttempt(stream, body, self._tasks)

    def hold(self, run: MeshRun, node: NodeId) -> None:
        """Count a run as being on a node, until `let_go`."""
        self._runs[run] = node
        self.outstanding[node] += 1

    def let_go(self, run: MeshRun) -> None:
        """The run is on no node any more. Harmless when it was on none."""
        node = self._runs.pop(run, None)
        if node is None:
            return
        self.outstanding[node] -= 1
        if not self.outstanding[node]:
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

    def _serves(self, name: str) -> bool:
        own = any(model.ref.name == name for model in self._catalog.models())
        return own or bool(self._view.providers(name))

    def _named(self, name: str) -> list[Candidate]:
        found = [self._remote(provider) for provider in self._view.providers(name)]
        own = self._catalog.find(name)
        if own is not None:
            _, ref, slots = own
            found.append(self._own(ServedModel(ref, slots)))
        return found

    def _every(self) -> list[Candidate]:
        own = [self._own(model) for model in self._catalog.models()]
        return own + [self._remote(provider) for provider in self._view.models()]

    def _own(self, model: ServedModel) -> Candidate:
        load = self._host.load()
        return own_candidate(self._node_id, model, load, self.outstanding[self._node_id])

    def _remote(self, provider: Provider) -> Candidate:
        return remote_candidate(provider, self.outstanding[provider.peer.record.node_id])

    async def _look_up(self, lookup: ProviderLookup, name: str) -> list[Candidate]:
        self.counters.lookups += 1
        records = await lookup.find_providers(name, timeout=LOOKUP_SECONDS)
        return [
            self._remote(Provider(Peer(record), served))
            for record in records
            for served in record.models
            if served.ref.name == name and record.node_id != self._node_id
        ]

    def _nobody(self, name: str) -> ModelNotFound | ModelUnavailable:
        if name == AUTO or self._view.seen_lately(name):
            return ModelUnavailable(
                f"No node serves '{name}' at present; try again shortly", param="model"
            )
        known = [model.ref.name for model in self._catalog.models()]
        known += [provider.model.ref.name for provider in self._view.models()]
        return not_found(name, [*known, *self._aliases])
