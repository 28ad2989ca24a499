"""What both OpenAI dialects share: model, sampling, streaming, and what is demanded of an engine.

Source: OpenAI API reference, "Create chat completion" and "Create completion", 2026-11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.errors import InvalidRequest
from mesh.jobs import MAX_CHOICES, MAX_STOP_SEQUENCES, Feature, JobSpec, Sampling
from node.gateway.fields import (
    take_bool,
    take_float,
    take_int,
    take_object,
    take_text,
    wrong_type,
)
from node.gateway.limits import (
    MAX_MODEL_NAME,
    MAX_STOP_LENGTH,
    MAX_TOKENS,
    MAX_TOP_LOGPROBS,
)

_INT64 = 2**63
MAX_TEMPERATURE = 2.0


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed request: the job, and what only the gateway needs to know."""

    job: JobSpec
    include_usage: bool = False


def take_model(body: dict[str, Any]) -> str:
    """The model's name: required, printable, bounded."""
    name = take_text(body, "model", MAX_MODEL_NAME)
    if name is None:
        raise InvalidRequest("model is required", param="model")
    if not name.strip() or not name.isprintable():
        raise InvalidRequest("model must be a printable name", param="model")
    return name


def take_sampling(body: dict[str, Any], logprobs: int | None) -> Sampling:
    """Sampling fields. max_completion_tokens wins over max_tokens, which it replaced."""
    longest = take_int(body, "max_tokens", 0, MAX_TOKENS)
    newer = take_int(body, "max_completion_tokens", 0, MAX_TOKENS)
    choices = take_int(body, "n", 1, MAX_CHOICES)
    return Sampling(
        max_tokens=longest if newer is None else newer,
        temperature=take_float(body, "temperature", 0.0, MAX_TEMPERATURE),
        top_p=take_float(body, "top_p", 0.0, 1.0),
        top_k=take_int(body, "top_k", -1, 1_000_000),
        seed=take_int(body, "seed", -_INT64, _INT64 - 1),
        stop=take_stop(body, "stop"),
        n=1 if choices is None else choices,
        logprobs=logprobs,
    )


def take_stop(body: dict[str, Any], name: str) -> tuple[str, ...]:
    """Stop sequences: one string or a list of them."""
    value = body.pop(name, None)
    if value is None:
        return ()
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise InvalidRequest(f"{name} must be a string or an array of strings", param=name)
    if len(given) > MAX_STOP_SEQUENCES:
        raise InvalidRequest(f"{name} takes at most {MAX_STOP_SEQUENCES} sequences", param=name)
    if any(not 0 < len(text) <= MAX_STOP_LENGTH for text in given):
        message = f"each sequence in {name} must have 1 to {MAX_STOP_LENGTH} characters"
        raise InvalidRequest(message, param=name)
    return tuple(given)


def take_stream(body: dict[str, Any]) -> tuple[bool, bool]:
    """Whether to stream, and whether a usage chunk was asked for."""
    stream = take_bool(body, "stream")
    options = take_object(body, "stream_options")
    include_usage = options.get("include_usage")
    if include_usage is not None and not isinstance(include_usage, bool):
        raise wrong_type("stream_options.include_usage", "a boolean", include_usage)
    return stream, stream and bool(include_usage)


def take_chat_logprobs(body: dict[str, Any]) -> int | None:
    """The chat dialect: `logprobs` switches on, `top_logprobs` says how many more."""
    wanted = take_bool(body, "logprobs")
    top = take_int(body, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    if top is not None and not wanted:
        raise InvalidRequest("top_logprobs needs logprobs to be true", param="top_logprobs")
    return (top or 0) if wanted else None


def demanded_features(body: dict[str, Any], sampling: Sampling) -> tuple[Feature, ...]:
    """What the passed-through fields demand of an engine. Checks only their outermost type."""
    needs: list[Feature] = []
    if any([_check_tools(body, "tools"), _check_tools(body, "functions")]):
        needs.append("tools")
    if _wants_format(body):
        needs.append("json")
    if sampling.logprobs is not None:
        needs.append("logprobs")
    return tuple(needs)


def _check_tools(body: dict[str, Any], name: str) -> bool:
    tools = body.get(name)
    if tools is None:
        return False
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidRequest(f"{name} must be an array of objects", param=name)
    return bool(tools)


def _wants_format(body: dict[str, Any]) -> bool:
    form = body.get("response_format")
    if form is None:
        return False
    if not isinstance(form, dict) or not isinstance(form.get("type"), str):
        message = "response_format must be an object with a type"
        raise InvalidRequest(message, param="response_format")
    return bool(form["type"] != "text")
