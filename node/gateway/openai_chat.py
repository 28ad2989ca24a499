"""The dialect of POST /v1/chat/completions: body to job, events to JSON and SSE lines.

Source: OpenAI API reference, "Chat completions" and "Streaming events", 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mesh.errors import InvalidRequest
from mesh.jobs import Chunk, Finish, JobSpec
from node.gateway import sse
from node.gateway.collected import Collected
from node.gateway.json_body import decode_object
from node.gateway.limits import MAX_MESSAGES
from node.gateway.openai_request import (
    Call,
    demanded_features,
    take_chat_logprobs,
    take_model,
    take_sampling,
    take_stream,
)
from node.gateway.openai_usage import usage_object

_TEXT_PARTS = frozenset({"text", "refusal", "input_text", "output_text", "thinking"})
MAX_ROLE = 64


def parse_chat(body: bytes) -> Call:
    """The job in a request body. Raises InvalidRequest naming the field that is wrong."""
    fields = decode_object(body)
    model = take_model(fields)
    messages = take_messages(fields)
    sampling = take_sampling(fields, take_chat_logprobs(fields))
    stream, include_usage = take_stream(fields)
    needs = demanded_features(fields, sampling)
    if any(map(_holds_media, messages)):
        needs = (*needs, "vision")
    job = JobSpec(
        kind="chat",
        model=model,
        messages=messages,
        sampling=sampling,
        stream=stream,
        needs=needs,
        extra=fields,
    )
    return Call(job, include_usage)


def take_messages(fields: dict[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The conversation, checked in outline and otherwise untouched."""
    messages = fields.pop("messages", None)
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages must be a non-empty array", param="messages")
    if len(messages) > MAX_MESSAGES:
        raise InvalidRequest(f"messages holds more than {MAX_MESSAGES}", param="messages")
    for position, message in enumerate(messages):
        _check_message(f"messages[{position}]", message)
    return tuple(messages)


def _check_message(name: str, message: object) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest(f"{name} must be an object", param=name)
    role = message.get("role")
    if not isinstance(role, str) or not 0 < len(role) <= MAX_ROLE:
        raise InvalidRequest(f"{name}.role must be a non-empty string", param=f"{name}.role")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        words = f"{name}.content must be a string or an array of parts"
        raise InvalidRequest(words, param=f"{name}.content")
    if not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content):
        words = f"each part of {name}.content must be an object with a type"
        raise InvalidRequest(words, param=f"{name}.content")


def _holds_media(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    if not isinstance(content, list):
        return False
    return any(part["type"] not in _TEXT_PARTS for part in content)


class ChatStream:
    """Renders one job's events as SSE lines of `chat.completion.chunk` objects."""

    content_type = sse.CONTENT_TYPE
    end = sse.DONE

    def __init__(self, call: Call, job_id: str, created: int) -> None:
        self._call = call
        self._base = {
            "id": f"chatcmpl-{job_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": call.job.model,
        }
        # Plain text after the first chunk is nearly all traffic: its frame is rendered once.
        self._frame = b"data: " + orjson.dumps(self._base)[:-1] + b',"choices":[{"index":'
        tail = b',"usage":null}\n\n' if call.include_usage else b"}\n\n"
        self._tail = b'},"logprobs":null,"finish_reason":null}]' + tail
        self._introduced: set[int] = set()

    def chunk(self, chunk: Chunk) -> bytes:
        """The line for one chunk; the first of each choice carries the role."""
        if chunk.index in self._introduced and chunk.delta is None and chunk.logprobs is None:
            text = orjson.dumps(chunk.text)
            head = b'%b%d,"delta":{"content":' % (self._frame, chunk.index)
            return head + text + self._tail
        return self._line(chunk.index, self._delta(chunk), chunk.logprobs, None)

    def finish(self, finish: Finish) -> bytes:
        """The lines that give each choice its reason, then the usage if it was asked for."""
        lines = [
            self._line(index, self._delta(Chunk(index=index), closing=True), None, reason)
            for index, reason in enumerate(finish.reasons)
        ]
        if self._call.include_usage:
            lines.append(
                sse.data({**self._base, "choices": [], "usage": usage_object(finish.usage)})
            )
        return b"".join(lines)

    def _delta(self, chunk: Chunk, *, closing: bool = False) -> dict[str, Any]:
        first = chunk.index not in self._introduced
        self._introduced.add(chunk.index)
        delta: dict[str, Any] = {"role": "assistant"} if first else {}
        if chunk.text or (chunk.delta is None and not closing) or (first and closing):
            delta["content"] = chunk.text
        if chunk.delta:
            delta.update(chunk.delta)
        return delta

    def _line(self, index: int, delta: dict[str, Any], logprobs: Any, reason: str | None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        value: dict[str, Any] = {**self._base, "choices": [choice]}
        if self._call.include_usage:
            value["usage"] = None
        return sse.data(value)


def render_chat(call: Call, answer: Collected, job_id: str, created: int) -> bytes:
    """The complete `chat.completion` object."""
    return orjson.dumps(
        {
            "id": f"chatcmpl-{job_id}",
            "object": "chat.completion",
            "created": created,
            "model": call.job.model,
            "choices": [
                {
                    "index": index,
                    "message": choice.message(),
                    "logprobs": choice.logprobs,
                    "finish_reason": reason,
                }
                for index, (choice, reason) in enumerate(answer.ended())
            ],
            "usage": usage_object(answer.finish.usage),
        }
    )
