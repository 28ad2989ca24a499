"""JobSpec to the body of Ollama's native /api/chat and /api/generate.

github.com/ollama/ollama, docs/openapi.yaml at 017eb8a (2026). Chosen over Ollama's OpenAI layer
because it tells more: digests, context, capabilities, why and when it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from mesh.errors import InvalidRequest, NotSupported
from mesh.jobs import JobSpec, Sampling

CHAT_PATH = "/api/chat"
GENERATE_PATH = "/api/generate"

_OPTIONS_OF_EXTRA = ("min_p", "presence_penalty", "frequency_penalty")
_ROLES = {"developer": "system", "function": "tool"}
_EFFORTS = {"none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high"}


def path_of(job: JobSpec) -> str:
    """The endpoint that a job of this kind goes to."""
    return CHAT_PATH if job.kind == "chat" else GENERATE_PATH


def request_body(job: JobSpec, model: str, sampling: Sampling) -> dict[str, Any]:
    """The body to send. Raises NotSupported or InvalidRequest for what Ollama cannot be asked."""
    _refuse_unsupported(job)
    body: dict[str, Any] = {"model": model, "stream": job.stream}
    if job.kind == "chat":
        body["messages"] = read_messages(job.messages)
        if job.extra.get("tools") and job.extra.get("tool_choice") != "none":
            body["tools"] = job.extra["tools"]
    else:
        body.update(_prompt(job))
    effort = job.extra.get("reasoning_effort")
    if effort in _EFFORTS:
        body["think"] = _EFFORTS[effort]
    form = _format(job.extra.get("response_format"))
    if form is not None:
        body["format"] = form
    options = _options(sampling, job.extra)
    if options:
        body["options"] = options
    if sampling.logprobs is not None:
        body.update(logprobs=True, top_logprobs=sampling.logprobs)
    return body


def _refuse_unsupported(job: JobSpec) -> None:
    extra = job.extra
    if extra.get("tool_choice") not in (None, "auto", "none"):
        raise NotSupported("Ollama cannot be made to call a tool", param="tool_choice")
    if extra.get("logit_bias"):
        raise NotSupported("Ollama takes no logit_bias", param="logit_bias")
    if extra.get("echo") or extra.get("best_of", 1) not in (None, 1):
        raise NotSupported("Ollama has no echo and no best_of", param="echo")


def _prompt(job: JobSpec) -> dict[str, Any]:
    if not isinstance(job.prompt, str):
        raise NotSupported("Ollama takes no token ids as prompt", param="prompt")
    suffix = job.extra.get("suffix")
    if suffix:
        return {"prompt": job.prompt, "suffix": suffix}
    return {"prompt": job.prompt, "raw": True}  # a completion goes on from the text as it stands


def _options(sampling: Sampling, extra: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {
        "num_predict": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
    }
    given.update((name, extra.get(name)) for name in _OPTIONS_OF_EXTRA)
    return {name: value for name, value in given.items() if value is not None}


def _format(response_format: Any) -> Any:
    """`format` for an OpenAI response_format; None for plain text."""
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return "json"
    wrapped = response_format.get("json_schema") if kind == "json_schema" else None
    schema = wrapped.get("schema") if isinstance(wrapped, Mapping) else None
    if not isinstance(schema, Mapping):
        raise InvalidRequest("response_format has no usable schema", param="response_format")
    return schema


def read_messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """OpenAI chat messages as Ollama wants them."""
    tool_names: dict[str, str] = {}
    return [_message(message, tool_names) for message in messages]


def _message(message: Mapping[str, Any], tool_names: dict[str, str]) -> dict[str, Any]:
    role = str(message.get("role", "user"))
    text, images = _content(message.get("content"))
    made: dict[str, Any] = {"role": _ROLES.get(role, role), "content": text}
    if images:
        made["images"] = images
    if message.get("reasoning_content"):
        made["thinking"] = message["reasoning_content"]
    if message.get("tool_calls"):
        made["tool_calls"] = [_tool_call(call, tool_names) for call in message["tool_calls"]]
    if made["role"] == "tool":
        name = message.get("name") or tool_names.get(str(message.get("tool_call_id")))
        if name:
            made["tool_name"] = name
    return made


def _tool_call(call: Any, tool_names: dict[str, str]) -> dict[str, Any]:
    """OpenAI carries arguments as JSON text, Ollama as an object."""
    try:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        parsed = orjson.loads(arguments or "{}") if isinstance(arguments, str) else arguments
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest("a tool call in messages is malformed", param="messages") from error
    if not isinstance(parsed, Mapping):
        raise InvalidRequest("arguments of a tool call are no JSON object", param="messages")
    tool_names[str(call.get("id"))] = name
    return {"function": {"name": name, "arguments": parsed}}


def _content(content: Any) -> tuple[str, list[str]]:
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list | tuple):
        raise InvalidRequest("content must be text or a list of parts", param="messages")
    texts: list[str] = []
    images: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url":
            images.append(_image(part.get("image_url")))
        else:
            raise NotSupported(f"Ollama takes no content part {str(kind)[:40]!r}", param="messages")
    return "\n".join(texts), images


def _image(image: Any) -> str:
    """The base64 text of a data: URI (RFC 2397). Nothing is ever fetched for a client."""
    url = image.get("url") if isinstance(image, Mapping) else image
    if not isinstance(url, str) or not url.startswith("data:"):
        raise NotSupported("Ollama takes images only as data: URIs", param="messages")
    head, comma, data = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise InvalidRequest("an image's data: URI must be base64", param="messages")
    return data
