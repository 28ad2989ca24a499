"""JobSpec to the request body of an OpenAI-compatible server.

OpenAI API reference, "Create chat completion" and "Create completion" (October 2025); `top_k` is
an extension that vLLM, llama.cpp, LM Studio and TGI share.
"""

from __future__ import annotations

from typing import Any

from mesh.jobs import JobSpec, Sampling

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"


def path_of(job: JobSpec) -> str:
    """The endpoint that a job of this kind goes to."""
    return CHAT_PATH if job.kind == "chat" else COMPLETION_PATH


def request_body(
    job: JobSpec, model_id: str, sampling: Sampling, *, ask_usage: bool
) -> dict[str, Any]:
    """The body to send. None means not sent; zero is sent; `job.extra` goes along untouched."""
    body: dict[str, Any] = dict(job.extra)
    body["model"] = model_id
    if job.kind == "chat":
        body["messages"] = list(job.messages)
    else:
        body["prompt"] = job.prompt if isinstance(job.prompt, str) else list(job.prompt)
    body.update(_sampling(sampling, chat=job.kind == "chat"))
    body["stream"] = job.stream
    body.pop("stream_options", None)
    if job.stream and ask_usage:
        body["stream_options"] = {"include_usage": True}
    return body


def _sampling(sampling: Sampling, *, chat: bool) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name in ("max_tokens", "temperature", "top_p", "top_k", "seed"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.n != 1:
        body["n"] = sampling.n
    if sampling.logprobs is not None:
        body.update(_logprobs(sampling.logprobs, chat=chat))
    return body


def _logprobs(count: int, *, chat: bool) -> dict[str, Any]:
    if not chat:
        return {"logprobs": count}
    if count == 0:
        # OpenAI and vLLM take a missing count as 0; llama.cpp would take a 0 as "none at all".
        return {"logprobs": True}
    return {"logprobs": True, "top_logprobs": count}
