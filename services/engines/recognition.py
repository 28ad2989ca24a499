"""Finds out what kind of engine answers at a URL."""

from __future__ import annotations

from typing import Any

from mesh.errors import EngineError, EngineUnavailable
from services.engines.engine import Engine
from services.engines.fingerprints import FINGERPRINTS, EngineKind, is_daemon
from services.engines.http_client import Answer, HttpClient, Timeouts
from services.engines.ollama import OllamaEngine
from services.engines.openai import OpenAIEngine, root_of
from services.engines.page_reader import MAX_PAGE, loads

RECOGNITION_SECONDS = 1.5
"""For each page asked."""


class NotAnEngine(EngineUnavailable):
    """Something answers, but no engine that is known; the text says what."""


async def recognise(url: str, *, api_key: str = "") -> EngineKind:
    """The kind of engine at a URL. Raises EngineUnavailable (nobody answers) or NotAnEngine."""
    timeouts = Timeouts(connect=RECOGNITION_SECONDS, first_byte=RECOGNITION_SECONDS)
    client = HttpClient(root_of(url), api_key=api_key, timeouts=timeouts)
    try:
        return await _recognise(client)
    finally:
        await client.close()


async def engine_for_url(url: str, *, api_key: str = "") -> Engine:
    """The adapter for whatever answers at a URL, on any host: its owner's word is taken.

    Raises EngineUnavailable, NotAnEngine or ConfigError (the URL).
    """
    kind = await recognise(url, api_key=api_key)
    return engine_of(kind, url, api_key=api_key)


def engine_of(kind: EngineKind, url: str, *, api_key: str = "") -> Engine:
    """The adapter for a kind of engine at a URL."""
    if kind == "ollama":
        return OllamaEngine(root_of(url), api_key=api_key)
    return OpenAIEngine(url, kind=kind, api_key=api_key)


async def _recognise(client: HttpClient) -> EngineKind:
    pages: dict[str, Any] = {}
    locked = False
    for print_ in FINGERPRINTS:
        if print_.path not in pages:
            answer = await _page(client, print_.path)
            locked = locked or (answer is not None and answer.status in (401, 403))
            usable = answer is not None and answer.status == 200
            pages[print_.path] = loads(answer.body) if answer is not None and usable else None
        if print_.matches(pages[print_.path]):
            return print_.kind
    if locked:
        raise NotAnEngine(f"{client.origin} wants an API key")
    raise NotAnEngine(f"{client.origin} answers, but as no engine that is known")


async def _page(client: HttpClient, path: str) -> Answer | None:
    """One page; None when it cannot be read. Raises EngineUnavailable when nobody answers."""
    try:
        answer = await client.fetch("GET", path, limit=MAX_PAGE)
    except EngineUnavailable:
        raise
    except EngineError:
        return None  # too long, or no HTTP: not the page that was looked for
    if is_daemon(answer.headers):
        raise NotAnEngine(f"{client.origin} is a mesh node, not an engine")
    return answer
