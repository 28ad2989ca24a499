"""Reads the small pages on which engines describe themselves."""

from __future__ import annotations

from typing import Any

import orjson

from mesh.errors import EngineUnavailable
from services.engines.answer_errors import message_of
from services.engines.http_client import Answer, HttpClient, Method

PAGE_SECONDS = 2.0
MAX_PAGE = 1024 * 1024


class PageReader:
    """Raises EngineUnavailable for a server that does not answer, or not for us, or not yet."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def json(self, path: str, ask: dict[str, Any] | None = None) -> Any:
        """JSON of a page (POST when `ask` is given); None when there is no such page or no JSON."""
        body = await self._body(path, ask)
        return None if body is None else loads(body)

    async def text(self, path: str) -> str:
        """Text of a page; "" when there is no such page."""
        return (await self._body(path, None) or b"").decode("utf-8", "replace")

    async def _body(self, path: str, ask: dict[str, Any] | None) -> bytes | None:
        method: Method = "GET" if ask is None else "POST"
        body = b"" if ask is None else orjson.dumps(ask)
        answer = await self._client.fetch(method, path, body, limit=MAX_PAGE, seconds=PAGE_SECONDS)
        return self._check(answer)

    def _check(self, answer: Answer) -> bytes | None:
        if answer.status == 200:
            return answer.body
        if answer.status in (400, 404, 405, 501):
            return None
        origin = self._client.origin
        if answer.status in (401, 403):
            raise EngineUnavailable(f"{origin} wants an API key")
        words, _ = message_of(loads(answer.body))
        raise EngineUnavailable(f"{origin} is not ready: {words or answer.status}")


def loads(body: bytes) -> Any:
    """JSON, or None when it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
