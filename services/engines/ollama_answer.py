"""Ollama's native answers to chunks. Pure: lines of JSON in, chunks and errors out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from mesh.errors import EngineError
from mesh.jobs import Chunk, Finish, Usage
from services.engines.answer_errors import refusal_of


class AnswerReader:
    """Reads one answer, streamed or whole. Raises EngineError for what is no such answer.

    Tool calls come out in OpenAI's shape: arguments as JSON text, an id, and in streams an index.
    """

    def __init__(self, origin: str, *, chat: bool, stream: bool) -> None:
        self.finished: Finish | None = None
        self._origin = origin
        self._chat = chat
        self._stream = stream
        self._calls = 0
        self._offset = 0

    def read(self, line: bytes) -> list[Chunk]:
        """Chunks of one JSON object; `finished` is set by the last one."""
        try:
            answer = orjson.loads(line)
            if answer.get("error"):
                raise refusal_of(500, answer, self._origin)
            text, delta = self._said(answer)
            logprobs = self._logprobs(answer.get("logprobs"))
            if answer.get("done"):
                self.finished = self._finish(answer)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise EngineError(f"{self._origin} sent an answer that makes no sense") from error
        self._offset += len(text)
        return [Chunk(text, 0, None, delta, logprobs)] if text or delta or logprobs else []

    def finish(self) -> Finish:
        """What ends the job. Raises EngineError when the answer was cut short."""
        if self.finished is None:
            raise EngineError(f"{self._origin} ended its answer before it was complete")
        return self.finished

    def _said(self, answer: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
        said = answer.get("message") or {} if self._chat else answer
        text = said.get("content" if self._chat else "response") or ""
        if not isinstance(text, str):
            raise TypeError(text)
        delta: dict[str, Any] = {}
        if said.get("thinking"):
            delta["reasoning_content"] = said["thinking"]
        if said.get("tool_calls"):
            delta["tool_calls"] = [self._tool_call(call) for call in said["tool_calls"]]
        return text, delta or None

    def _tool_call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        function = call["function"]
        arguments = orjson.dumps(function.get("arguments") or {}).decode()
        made: dict[str, Any] = {
            "id": call.get("id") or f"call_{secrets.token_hex(8)}",
            "type": "function",
            "function": {"name": function["name"], "arguments": arguments},
        }
        if self._stream:
            made["index"] = self._calls
        self._calls += 1
        return made

    def _finish(self, answer: Mapping[str, Any]) -> Finish:
        reason = str(answer.get("done_reason") or "stop")[:40]
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        prompt, completion = answer.get("prompt_eval_count"), answer.get("eval_count")
        return Finish((reason,), Usage(int(prompt or 0), int(completion or 0)))

    def _logprobs(self, tokens: Sequence[Mapping[str, Any]] | None) -> dict[str, Any] | None:
        if not tokens:
            return None
        if self._chat:
            shown = [{**token, "top_logprobs": token.get("top_logprobs") or []} for token in tokens]
            return {"content": shown}
        offsets, at = [], self._offset
        for token in tokens:
            offsets.append(at)
            at += len(token["token"])
        tops = [
            {top["token"]: top["logprob"] for top in token.get("top_logprobs") or ()}
            for token in tokens
        ]
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": tops,
            "text_offset": offsets,
        }
