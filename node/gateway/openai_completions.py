"""The dialect of POST /v1/completions: body to job, events to JSON and SSE lines.

Source: OpenAI API reference, "Completions (legacy)", 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mesh.errors import InvalidRequest
from mesh.jobs import Chunk, Finish, JobSpec
from node.gateway import sse
from node.gateway.collected import Collected
from node.gateway.fields import take_int
from node.gateway.json_body import decode_object
from node.gateway.limits import MAX_TOP_LOGPROBS
from node.gateway.openai_request import (
    Call,
    demanded_features,
    take_model,
    take_sampling,
    take_stream,
)
from node.gateway.openai_usage import usage_object

MAX_TOKEN_ID = 2**31


def parse_completion(body: bytes) -> Call:
    """The job in a request body. Raises InvalidRequest naming the field that is wrong."""
    fields = decode_object(body)
    model = take_model(fields)
    prompt = take_prompt(fields)
    sampling = take_sampling(fields, take_int(fields, "logprobs", 0, MAX_TOP_LOGPROBS))
    stream, include_usage = take_stream(fields)
    job = JobSpec(
        kind="completion",
        model=model,
        prompt=prompt,
        sampling=sampling,
        stream=stream,
        needs=demanded_features(fields, sampling),
        extra=fields,
    )
    return Call(job, include_usage)


def take_prompt(fields: dict[str, Any]) -> str | tuple[int, ...]:
    """One prompt: text, or token ids. A list of exactly one prompt is unwrapped."""
    prompt = fields.pop("prompt", None)
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], (str, list)):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and prompt and all(map(_is_token_id, prompt)):
        return tuple(map(int, prompt))
    if isinstance(prompt, list) and len(prompt) > 1 and isinstance(prompt[0], (str, list)):
        words = "prompt holds several prompts; send one per request"
        raise InvalidRequest(words, param="prompt")
    words = "prompt must be a string or a non-empty array of token ids"
    raise InvalidRequest(words, param="prompt")


def _is_token_id(value: object) -> bool:
    # 7.0 is an integer to JSON Schema, so some clients send it.
    if type(value) is not int and not (isinstance(value, float) and value.is_integer()):
        return False
    return 0 <= value < MAX_TOKEN_ID


class CompletionStream:
    """Renders one job's events as SSE lines of `text_completion` objects."""

    content_type = sse.CONTENT_TYPE
    end = sse.DONE

    def __init__(self, call: Call, job_id: str, created: int) -> None:
        self._call = call
        self._base = {
            "id": f"cmpl-{job_id}",
            "object": "text_completion",
            "created": created,
            "model": call.job.model,
        }
        self._frame = b"data: " + orjson.dumps(self._base)[:-1] + b',"choices":[{"text":'
        tail = b',"usage":null}\n\n' if call.include_usage else b"}\n\n"
        self._offsets: dict[int, int] = {}
        self._tail = b',"logprobs":null,"finish_reason":null}]' + tail

    def chunk(self, chunk: Chunk) -> bytes:
        """The line for one chunk."""
        if chunk.logprobs is None:
            head = self._frame + orjson.dumps(chunk.text)
            return b'%b,"index":%d%b' % (head, chunk.index, self._tail)
        start = self._offsets.get(chunk.index, 0)
        self._offsets[chunk.index] = start + len(chunk.text)
        return self._line(chunk.index, chunk.text, legacy_logprobs(chunk.logprobs, start), None)

    def finish(self, finish: Finish) -> bytes:
        """The lines that give each choice its reason, then the usage if it was asked for."""
        lines = [self._line(index, "", None, reason) for index, reason in enumerate(finish.reasons)]
        if self._call.include_usage:
            lines.append(
                sse.data({**self._base, "choices": [], "usage": usage_object(finish.usage)})
            )
        return b"".join(lines)

    def _line(self, index: int, text: str, logprobs: Any, reason: str | None) -> bytes:
        choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}
        value: dict[str, Any] = {**self._base, "choices": [choice]}
        if self._call.include_usage:
            value["usage"] = None
        return sse.data(value)


def render_completion(call: Call, answer: Collected, job_id: str, created: int) -> bytes:
    """The complete `text_completion` object."""
    return orjson.dumps(
        {
            "id": f"cmpl-{job_id}",
            "object": "text_completion",
            "created": created,
            "model": call.job.model,
            "choices": [
                {
                    "text": choice.text,
                    "index": index,
                    "logprobs": choice.logprobs and legacy_logprobs(choice.logprobs),
                    "finish_reason": reason,
                }
                for index, (choice, reason) in enumerate(answer.ended())
            ],
            "usage": usage_object(answer.finish.usage),
        }
    )


def legacy_logprobs(logprobs: Mapping[str, Any], start: int = 0) -> Mapping[str, Any]:
    """The legacy shape of a logprobs object, whichever of OpenAI's two the engine sent.

    `start` is the offset of the first token in the answer's text.
    """
    content = logprobs.get("content")
    if not isinstance(content, list):
        return logprobs
    entries = [entry for entry in content if isinstance(entry, dict)]
    return {
        "tokens": [entry.get("token") for entry in entries],
        "token_logprobs": [entry.get("logprob") for entry in entries],
        "top_logprobs": [_top(entry) for entry in entries],
        "text_offset": _offsets(entries, start),
    }


def _top(entry: Mapping[str, Any]) -> dict[str, Any]:
    ranked = entry.get("top_logprobs")
    if not isinstance(ranked, list):
        return {}
    return {str(rank.get("token")): rank.get("logprob") for rank in ranked if rank}


def _offsets(entries: list[dict[str, Any]], position: int) -> list[int]:
    offsets = []
    for entry in entries:
        offsets.append(position)
        position += len(str(entry.get("token") or ""))
    return offsets
