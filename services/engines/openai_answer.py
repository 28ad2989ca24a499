"""Answers of an OpenAI-compatible server to chunks. Pure: bytes in, chunks and errors out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mesh.errors import EngineError
from mesh.jobs import Chunk, Finish, Usage
from services.engines.answer_errors import refusal_of

_SPOKEN_FOR = frozenset(("role", "content"))


class AnswerReader:
    """Reads one answer of `choices` choices, streamed or whole.

    Raises EngineError for what is no such answer, and what `refusal_of` makes of an error object.
    """

    def __init__(self, origin: str, *, chat: bool, choices: int = 1) -> None:
        self.usage: Usage | None = None
        self._origin = origin
        self._chat = chat
        self._choices = choices
        self._reasons: dict[int, str] = {}

    @property
    def finished(self) -> bool:
        """True when every choice has its finish reason."""
        return len(self._reasons) == self._choices

    def finish(self) -> Finish:
        """What ends the job. Raises EngineError when the answer was cut short."""
        if not self.finished:
            raise EngineError(f"{self._origin} ended its answer before it was complete")
        reasons = tuple(self._reasons[index] for index in range(self._choices))
        return Finish(reasons, self.usage or Usage())

    def read_event(self, data: bytes) -> list[Chunk]:
        """Chunks of one streamed event (not of `[DONE]`)."""
        return self._read(data, "delta")

    def read_whole(self, body: bytes) -> list[Chunk]:
        """One chunk for each choice of an answer that came in one piece."""
        return self._read(body, "message")

    def _read(self, data: bytes, part: str) -> list[Chunk]:
        try:
            answer = orjson.loads(data)
            if answer.get("error"):
                raise self._refusal(answer)
            usage = answer.get("usage")
            if usage:
                self.usage = Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
            chunks = [self._choice(choice, part) for choice in answer.get("choices") or ()]
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise EngineError(f"{self._origin} sent an answer that makes no sense") from error
        return [chunk for chunk in chunks if chunk is not None]

    def _choice(self, choice: Mapping[str, Any], part: str) -> Chunk | None:
        index = choice.get("index", 0)
        if not isinstance(index, int) or not 0 <= index < self._choices:
            raise ValueError(index)
        reason = choice.get("finish_reason")
        end = ""
        if reason:
            end = self._reasons[index] = str(reason)[:40]
        text, delta = self._content(choice, part)
        logprobs = choice.get("logprobs")
        ids = choice.get("token_ids")
        if not (text or delta or logprobs or ids or end or part == "message"):
            return None  # the opening role
        return Chunk(text, index, tuple(ids) if ids else None, delta, logprobs, end)

    def _content(self, choice: Mapping[str, Any], part: str) -> tuple[str, dict[str, Any] | None]:
        if not self._chat:
            return _text(choice.get("text")), None
        said = choice.get(part)
        if not said:
            return "", None
        text = _text(said.get("content"))
        if len(said) == 1 and text:
            return text, None
        delta = {key: value for key, value in said.items() if value and key not in _SPOKEN_FOR}
        return text, delta or None

    def _refusal(self, answer: Mapping[str, Any]) -> Exception:
        error = answer["error"]
        code = error.get("code") if isinstance(error, dict) else None
        return refusal_of(code if isinstance(code, int) else 500, answer, self._origin)


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(value)
    return value
