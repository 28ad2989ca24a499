"""An engine whose owner gave its URL; what it is shows when it first answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

from mesh.capability import ModelRef
from mesh.errors import EngineUnavailable
from mesh.jobs import JobSpec
from services.engines.engine import Engine, EngineStatus, Event
from services.engines.fingerprints import EngineKind
from services.engines.http_client import check_url
from services.engines.recognition import engine_of, recognise


class GivenEngine:
    """Recognises the engine at each probe until one answers, and anew after it was gone.

    Raises ConfigError for an unusable URL.
    """

    def __init__(self, url: str, *, api_key: str = "") -> None:
        check_url(url)
        self._url = url
        self._api_key = api_key
        self._place = urlsplit(url).netloc
        self._engine: Engine | None = None
        self._kind: EngineKind | None = None
        self._doubtful = True

    @property
    def name(self) -> str:
        """The place given, e.g. "127.0.0.1:8000"; never changes."""
        return self._place

    async def probe(self) -> EngineStatus:
        """As `Engine.probe`."""
        if self._doubtful:
            await self._recognise()
        if self._engine is None:
            raise EngineUnavailable(f"{self._place} does not answer")
        try:
            return await self._engine.probe()
        except EngineUnavailable:
            self._doubtful = True
            raise

    async def _recognise(self) -> None:
        """Running jobs survive when the same kind of engine answers again."""
        kind = await recognise(self._url, api_key=self._api_key)
        if kind != self._kind:
            await self.close()
            self._engine = engine_of(kind, self._url, api_key=self._api_key)
            self._kind = kind
        self._doubtful = False

    def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        """As `Engine.run`. Raises EngineUnavailable while nothing has answered."""
        if self._engine is None:
            raise EngineUnavailable(f"{self._place} does not answer")
        return self._engine.run(job, model)

    async def close(self) -> None:
        """Close all connections."""
        engine, self._engine, self._kind = self._engine, None, None
        if engine is not None:
            await engine.close()
