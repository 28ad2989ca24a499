"""Gateways and workers in virtual time: what the policy does to many jobs, without any I/O.

Workers run jobs in slots, first come first served, at so many characters a second. They report
their load to every gateway each 0.1-0.2 s, so gateways decide on stale pictures and know nothing of
each other. A gateway sees of its own jobs what a real one sees: the characters as they come.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from coordinator.scheduling.policy import Demand, decide
from coordinator.scheduling.scout import Scout
from dht.view import DirectoryView
from mesh.capability import Load, ModelRef, NodeRecord, Peer, ServedModel
from mesh.ids import NodeId

MODEL = ModelRef("m", "test")
WAY = 0.002
"""Seconds from a gateway to a worker, one way."""
METER_SECONDS = 0.2
"""How often a gateway looks at how its jobs get on."""


@dataclass(eq=False, slots=True)
class Job:
    """One request: when it came, how long its answer is, and where it went."""

    came: float
    characters: float
    gateway: Gateway
    streaming: bool
    worker: Worker | None = None
    began: float = -1.0
    given: float = 0.0
    """Characters given out up to `settled`."""
    settled: float = 0.0
    metered: float = 0.0
    metered_at: float = 0.0
    done: float = -1.0


@dataclass(eq=False, slots=True)
class Worker:
    """A node with slots; `rate` is characters a second for each job, and may change."""

    node: NodeId
    rate: float
    slots: int
    advertised: float
    """Tokens a second as told when it was measured; 0.0: never."""
    running: list[Job] = field(default_factory=list)
    waiting: deque[Job] = field(default_factory=deque)
    job_seconds: float = 0.0

    @property
    def record(self) -> NodeRecord:
        served = ServedModel(MODEL, self.slots, self.advertised)
        return NodeRecord(self.node, 1, 0.0, 60.0, models=(served,))

    def load(self) -> Load:
        return Load(len(self.running), len(self.waiting), self.slots, self.job_seconds)


class Gateway:
    """What one gateway knows: reports of load, and what it saw itself."""

    def __init__(self, fleet: Fleet, workers: Sequence[Worker], rng: Random) -> None:
        self.fleet = fleet
        self.rng = rng
        self.view = DirectoryView(fleet)
        self.outstanding: Counter[NodeId] = Counter()
        self.scout = Scout(self.view, self.outstanding, fleet.now, rng)
        self.turn = rng.randrange(len(workers))
        for worker in workers:
            self.hear(worker, worker.load())

    def hear(self, worker: Worker, load: Load) -> None:
        """A report of load arrives."""
        self.view.update(worker.node, Peer(worker.record, load, 2 * WAY, True))

    def choose(self) -> Worker:
        """The policy's choice."""
        found = self.scout.draw("m")
        decision = decide(found.candidates, Demand(), self.rng, known=found.known)
        self.scout.keep("m", decision)
        return self.fleet.by_node[decision.order[0].node]

    def take_turns(self) -> Worker:
        """Round-robin, for comparison."""
        self.turn += 1
        return self.fleet.workers[self.turn % len(self.fleet.workers)]


Choose = Callable[[Gateway], Worker]


class Fleet:
    """Runs the story; `done` holds every finished job."""

    def __init__(
        self,
        rates: Sequence[float],
        *,
        seed: int,
        gateways: int = 3,
        slots: int = 4,
        choose: Choose = Gateway.choose,
        advertise: bool = True,
        streaming: float = 0.7,
    ) -> None:
        self.rng = Random(seed)
        self.time = 0.0
        self.choose = choose
        self.streaming = streaming
        self.workers = [
            Worker(NodeId(f"{n:040x}"), rate, slots, rate / 4 if advertise else 0.0)
            for n, rate in enumerate(rates)
        ]
        self.by_node = {worker.node: worker for worker in self.workers}
        self.gateways = [
            Gateway(self, self.workers, Random(self.rng.random())) for _ in range(gateways)
        ]
        self.sent: list[tuple[float, Worker]] = []
        self.done: list[Job] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        for gateway, worker in itertools.product(self.gateways, self.workers):
            self._report(gateway, worker)

    def now(self) -> float:
        """Virtual seconds; with `wall`, a clock."""
        return self.time

    def wall(self) -> float:
        """The same."""
        return self.time

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._events, (seconds, next(self._numbers), action))

    def offer(self, per_second: float, seconds: float, characters: float = 400.0) -> None:
        """Let requests come at random for so long, of lengths that vary."""
        came = self.time
        while (came := came + self.rng.expovariate(per_second)) < self.time + seconds:
            gateway = self.rng.choice(self.gateways)
            length = max(16.0, characters * self.rng.lognormvariate(-0.125, 0.5))
            job = Job(came, length, gateway, self.rng.random() < self.streaming)
            self.at(came, lambda job=job: self._send(job))  # type: ignore[misc]

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            self.time, _, action = heapq.heappop(self._events)
            action()
        self.time = until

    def set_rate(self, worker: Worker, rate: float) -> None:
        """From now on the worker goes at another pace, its running jobs as well."""
        for job in worker.running:
            self._settle(job)
        worker.rate = rate
        for job in worker.running:
            self._plan_end(job)

    def shares(self, since: float, until: float) -> Counter[NodeId]:
        """How many jobs each worker was sent in a stretch of time."""
        return Counter(worker.node for at, worker in self.sent if since <= at < until)

    def latency(self, share: float = 0.95, since: float = 0.0) -> float:
        """A percentile of the seconds from request to whole answer."""
        seconds = sorted(job.done - job.came for job in self.done if job.came >= since)
        return statistics.quantiles(seconds, n=1000)[round(share * 1000) - 1]

    # ── one job ─────────────────────────────────────────────────────────────────────────────────

    def _send(self, job: Job) -> None:
        gateway, worker = job.gateway, self.choose(job.gateway)
        job.worker = worker
        gateway.outstanding[worker.node] += 1
        gateway.scout.experience.sent(worker.node)
        self.sent.append((self.time, worker))
        self.at(self.time + WAY, lambda: self._arrive(job))

    def _arrive(self, job: Job) -> None:
        worker = _of(job)
        worker.waiting.append(job)
        self._fill(worker)
        load = worker.load()
        back = self.time + WAY
        experience = job.gateway.scout.experience
        self.at(back, lambda: experience.accepted(worker.node, load.in_flight, load.queued))

    def _fill(self, worker: Worker) -> None:
        while worker.waiting and len(worker.running) < worker.slots:
            job = worker.waiting.popleft()
            worker.running.append(job)
            job.began = job.settled = job.metered_at = self.time
            self._plan_end(job)
            self.at(self.time + METER_SECONDS, lambda job=job: self._meter(job))  # type: ignore[misc]

    def _settle(self, job: Job) -> None:
        job.given = min(job.characters, job.given + (self.time - job.settled) * _of(job).rate)
        job.settled = self.time

    def _plan_end(self, job: Job) -> None:
        left = (job.characters - job.given) / _of(job).rate
        rate = _of(job).rate
        self.at(self.time + left, lambda: self._end(job, rate))

    def _end(self, job: Job, rate: float) -> None:
        worker = _of(job)
        if job.done >= 0 or worker.rate != rate:
            return  # planned before the worker changed its pace
        job.done = self.time + WAY
        ran = self.time - job.began
        worker.job_seconds += (0.2 if worker.job_seconds else 1.0) * (ran - worker.job_seconds)
        worker.running.remove(job)
        self._fill(worker)
        self.at(job.done, lambda: self._finish(job))

    def _finish(self, job: Job) -> None:
        worker, experience, ran = _of(job), job.gateway.scout.experience, self.time - job.began
        self.done.append(job)
        job.gateway.outstanding[worker.node] -= 1
        experience.left(worker.node)
        if not job.streaming:
            experience.progressed(worker.node, "m", job.characters, ran, self.time)
        experience.completed("m", round(job.characters), ran)

    def _meter(self, job: Job) -> None:
        if job.done >= 0:
            return
        self._settle(job)
        experience, node = job.gateway.scout.experience, _of(job).node
        if job.streaming:
            came, passed = job.given - job.metered, self.time - job.metered_at
            experience.progressed(node, "m", came, passed, self.time)
            job.metered, job.metered_at = job.given, self.time
        else:
            usual = max(experience.usual_answer("m"), 1.0)
            experience.stalled(node, "m", usual, self.time - job.began, self.time)
        self.at(self.time + METER_SECONDS, lambda: self._meter(job))

    def _report(self, gateway: Gateway, worker: Worker) -> None:
        load = worker.load()
        self.at(self.time + WAY, lambda: gateway.hear(worker, load))
        pause = self.rng.uniform(0.1, 0.2)
        self.at(self.time + pause, lambda: self._report(gateway, worker))


def _of(job: Job) -> Worker:
    assert job.worker is not None
    return job.worker
