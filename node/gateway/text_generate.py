"""The original platform's dialect: POST /text/generate and /text/generate/stream.

`/generate` and `/generate/stream` mean the same. What the original got wrong is right here: one
terminator, 400 for bad JSON, zero is zero, system prompts count, the caller's request id stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from mesh.errors import InvalidRequest
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from node.gateway import sse
from node.gateway.fields import take_bool, take_float, take_int, take_object, take_text
from node.gateway.json_body import decode_object
from node.gateway.limits import MAX_BODY, MAX_JSON_RETRIES, MAX_MODEL_NAME, MAX_TOKENS
from node.gateway.openai_request import MAX_TEMPERATURE, take_stop

DEFAULT_MODEL = "auto"
DEFAULT_MAX_TOKENS = 1000
DEFAULT_TEMPERATURE = 0.7
DEFAULT_RETRIES = 2
_INT64 = 2**63
_PROVIDERS = frozenset({"openai", "anthropic", "google", "together"})
"""Prefixes the original understood as "provider:model"; the mesh routes by model alone."""
_RESERVED = ("model", "messages", "prompt", "stream", "stream_options", "n", "api_key")
"""Options that would change what the job is, or whose key pays: dropped."""


@dataclass(frozen=True, slots=True)
class TextCall:
    """A parsed request."""

    job: JobSpec
    expect_json: bool = False
    retries: int = DEFAULT_RETRIES


def parse_text(body: bytes, serves: Callable[[str], bool], *, stream: bool) -> TextCall:
    """The job in a request body; `serves` tells which model names are known.

    Raises InvalidRequest naming the field that is wrong.
    """
    fields = decode_object(body)
    prompt = take_text(fields, "prompt", MAX_BODY)
    if prompt is None or not prompt.strip():
        raise InvalidRequest("prompt is required and must not be blank", param="prompt")
    model = _take_model(fields, serves)
    options = take_object(fields, "options")
    expect_json = take_bool(fields, "expect_json")
    if expect_json and stream:
        words = "expect_json needs the whole answer; use /text/generate"
        raise InvalidRequest(words, param="expect_json")
    retries = take_int(fields, "json_max_retries", 0, MAX_JSON_RETRIES)
    job = _job(model, prompt, dict(options), stream=stream)
    return TextCall(job, expect_json, DEFAULT_RETRIES if retries is None else retries)


def _take_model(fields: dict[str, Any], serves: Callable[[str], bool]) -> str:
    """`model_id` when known, else `model` without a provider's prefix, else the default."""
    wanted = take_text(fields, "model_id", MAX_MODEL_NAME)
    model = take_text(fields, "model", MAX_MODEL_NAME)
    if wanted and serves(wanted):
        return wanted
    if not model:
        return DEFAULT_MODEL
    provider, colon, name = model.partition(":")
    if colon and name and provider in _PROVIDERS and not serves(model):
        return name
    return model


def _job(model: str, prompt: str, options: dict[str, Any], *, stream: bool) -> JobSpec:
    for name in _RESERVED:
        options.pop(name, None)
    system = take_text(options, "system_prompt", MAX_BODY)
    shorter = take_text(options, "system", MAX_BODY)
    messages = [{"role": "user", "content": prompt}]
    if text := system or shorter:
        messages.insert(0, {"role": "system", "content": text})
    return JobSpec(
        kind="chat",
        model=model,
        messages=tuple(messages),
        sampling=_take_sampling(options),
        stream=stream,
        extra=options,
    )


def _take_sampling(options: dict[str, Any]) -> Sampling:
    longest = take_int(options, "max_tokens", 0, MAX_TOKENS)
    temperature = take_float(options, "temperature", 0.0, MAX_TEMPERATURE)
    return Sampling(
        max_tokens=DEFAULT_MAX_TOKENS if longest is None else longest,
        temperature=DEFAULT_TEMPERATURE if temperature is None else temperature,
        top_p=take_float(options, "top_p", 0.0, 1.0),
        top_k=take_int(options, "top_k", -1, 1_000_000),
        seed=take_int(options, "seed", -_INT64, _INT64 - 1),
        stop=take_stop(options, "stop_sequences") + take_stop(options, "stop"),
    )


def repeat_for_json(job: JobSpec, reply: str, reason: str) -> JobSpec:
    """The job again, with what was wrong with the last reply."""
    asked = str(job.messages[-1]["content"])
    text = (
        f"Your last reply was not valid JSON ({reason}).\n"
        f"The request was: {asked[:500]}\n"
        f"Your reply was: {reply[:1000]}\n"
        "Answer again with valid JSON only, without any other text."
    )
    return replace(job, messages=(*job.messages[:-1], {"role": "user", "content": text}))


class TextStream:
    """Renders one job's events as the original's SSE lines."""

    content_type = sse.CONTENT_TYPE

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self.end = self._line("", done=True)

    def chunk(self, chunk: Chunk) -> bytes:
        """The line for one chunk; chunks without text have none."""
        return self._line(chunk.text, done=False) if chunk.text else b""

    def finish(self, finish: Finish) -> bytes:
        """Nothing: the one terminator is `end`."""
        return b""

    def error(self) -> bytes:
        """The last line of a stream that broke."""
        return sse.data({"error": "Stream error", "done": True, "request_id": self._request_id})

    def _line(self, text: str, *, done: bool) -> bytes:
        return sse.data({"text": text, "done": done, "request_id": self._request_id})


def render_text(text: str, metadata: dict[str, Any], request_id: str, timestamp: str) -> bytes:
    """The complete reply."""
    return orjson.dumps(
        {
            "success": True,
            "text": text,
            "metadata": metadata,
            "request_id": request_id,
            "timestamp": timestamp,
        }
    )
