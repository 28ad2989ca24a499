"""The port every engine implements, local or remote."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from mesh.capability import ModelRef
from mesh.jobs import Chunk, Finish, JobSpec

Event = Chunk | Finish


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What an engine answered when it was probed."""

    models: tuple[ModelRef, ...]
    slots: int
    """Jobs the engine runs at the same time; 1 when it does not say."""
    running: int = 0
    """Jobs it is busy with now, ours and others', where it tells."""
    waiting: int = 0


class Engine(Protocol):
    """Turns jobs into chunks. One object per engine process or endpoint; owned by the catalog."""

    @property
    def name(self) -> str:
        """Short and unique on this node, e.g. "demo" or "ollama@127.0.0.1:11434"."""
        ...

    async def probe(self) -> EngineStatus:
        """Ask what it serves now. Raises EngineUnavailable when it does not answer properly."""
        ...

    def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        """Yield chunks, then exactly one Finish.

        Nothing is pulled from the engine faster than this generator is advanced. `aclose()` or
        cancellation stops the engine within a second. Raises EngineError (try elsewhere) or
        InvalidRequest and its kin (wrong everywhere). `job.model` may be an alias; `model` is what
        it means here.
        """
        ...

    async def close(self) -> None:
        """Release connections, threads and child processes."""
        ...
