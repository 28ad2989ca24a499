"""In-memory twins of the ports a gateway leans on: scripted, and telling what was done to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from mesh.capability import Load, ModelRef, NodeRecord, Peer, ServedModel
from mesh.ids import NodeId
from mesh.jobs import Chunk, Finish, JobSpec, Usage
from mesh.ports import JobEvent, Progress, Provider, Request

NODE = NodeId("a" * 40)
"""The node whose gateway is tested."""
WORKER = NodeId("b" * 40)
"""The node that serves."""

Script = Iterable[object]
"""Events to yield, errors to raise, and functions whose result is waited for."""

HELLO: tuple[JobEvent, ...] = (
    Chunk("Hello"),
    Chunk(" there"),
    Finish(("stop",), Usage(prompt_tokens=3, completion_tokens=2)),
)


@dataclass
class ScriptedRun:
    """Implements mesh.ports.Run by playing a script."""

    script: Script
    node: NodeId = WORKER
    routing_seconds: float = 0.002
    queue_seconds: float = 0.005
    attempts: int = 1
    pulled: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def events(self) -> AsyncIterator[JobEvent]:
        for step in self.script:
            if isinstance(step, (Chunk, Finish, Progress)):
                self.pulled += 1
                yield step
            elif isinstance(step, Exception):
                raise step
            elif callable(step):
                await step()

    async def close(self) -> None:
        self.closed.set()


class ScriptedDispatch:
    """Implements mesh.ports.Dispatch: one script per submission, the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts: list[Script] = list(scripts) or [HELLO]
        self.jobs: list[JobSpec] = []
        self.requests: list[Request] = []
        self.runs: list[ScriptedRun] = []
        self.refusal: Exception | None = None
        self.submitted = asyncio.Event()

    def play(self, *scripts: Script) -> None:
        """Replace what the next submissions will answer."""
        self._scripts = list(scripts)

    async def submit(self, job: JobSpec, request: Request) -> ScriptedRun:
        self.jobs.append(job)
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        run = ScriptedRun(script)
        self.runs.append(run)
        self.submitted.set()
        return run


class FixedView:
    """Implements mesh.ports.View over a list of peers."""

    def __init__(self, peers: Sequence[Peer] = ()) -> None:
        self._peers = list(peers)

    def peers(self) -> Sequence[Peer]:
        return self._peers

    def providers(self, model: str) -> Sequence[Provider]:
        return [provider for provider in self.models() if provider.model.ref.name == model]

    def draw(self, model: str, most: int, rng: Random) -> tuple[Sequence[Provider], int]:
        found = self.providers(model)
        return rng.sample(found, min(most, len(found))), len(found)

    def provider(self, model: str, node: NodeId) -> Provider | None:
        of_node = (p for p in self.providers(model) if p.peer.record.node_id == node)
        return next(of_node, None)

    def models(self) -> Sequence[Provider]:
        return [Provider(peer, model) for peer in self._peers for model in peer.record.models]

    def seen_lately(self, model: str) -> bool:
        return bool(self.providers(model))


def served(name: str, *, engine: str = "demo", context: int = 512, about: str = "") -> ServedModel:
    """A model as a node serves it."""
    return ServedModel(ModelRef(name, engine, context=context, description=about), slots=2)


def peer(node: NodeId, *models: ServedModel) -> Peer:
    """A linked peer that serves some models."""
    record = NodeRecord(
        node_id=node,
        seq=1,
        issued_at=0.0,
        ttl=60.0,
        addresses=("tcp://192.0.2.7:4000",),
        roles=("gateway", "worker"),
        models=models,
        version="0.1.0",
    )
    return Peer(record, Load(in_flight=1, queued=0, slots=2), rtt=0.0123, linked=True)
