"""An engine port without an engine: what it answers is set by the test."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from mesh.capability import ModelRef
from mesh.errors import ElectronsError, EngineUnavailable
from mesh.jobs import Chunk, Finish, JobSpec
from services.engines.engine import EngineStatus, Event


class HandClock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time


class ScriptedEngine:
    """Serves `models` unless `error` is set; runs fail with `run_errors`, by model name."""

    def __init__(self, name: str, *models: str, kind: str = "scripted") -> None:
        self._name = name
        self.models = tuple(ModelRef(model, kind) for model in models)
        self.slots = 1
        self.error: ElectronsError | None = None
        self.run_errors: dict[str, ElectronsError] = {}
        self.ran: list[JobSpec] = []
        self.probes = 0
        self.closed = False

    @property
    def name(self) -> str:
        return self._name

    def down(self) -> None:
        """Stop answering, until `error` is None again."""
        self.error = EngineUnavailable("nobody there")

    async def probe(self) -> EngineStatus:
        self.probes += 1
        if self.error is not None:
            raise self.error
        return EngineStatus(self.models, self.slots)

    async def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        self.ran.append(job)
        error = self.run_errors.get(model.name) or self.run_errors.get(job.kind)
        if error is not None:
            raise error
        yield Chunk("x")
        yield Finish(("length",))

    async def close(self) -> None:
        self.closed = True
