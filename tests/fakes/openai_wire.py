"""The JSON of an OpenAI-compatible server, as three kinds of server speak it.

Copied from:
- OpenAI API reference, "Create chat completion" and "Create completion",
  platform.openai.com/docs/api-reference (October 2025)
- vLLM, vllm/entrypoints/openai/chat_completion/protocol.py at 002032e (2026) and
  docs/usage/metrics.md
- vLLM, vllm/entrypoints/serve/tokenize/protocol.py at 030ea52 (2026): /tokenize, /detokenize
- llama.cpp, tools/server/README.md at 00dc805 (August 2026 or later: default port 9931); what a
  last message of the assistant does: github.com/ggml-org/llama.cpp/pull/13174 (2025-05)
"""

from __future__ import annotations

import time
from typing import Any

COMMON_FIELDS = frozenset(
    [
        "model",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "stop",
        "n",
        "stream",
        "stream_options",
        "logprobs",
        "user",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "min_p",
        "repetition_penalty",
        "response_format",
    ]
)
CHAT_FIELDS = COMMON_FIELDS | frozenset(
    [
        "messages",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_completion_tokens",
        "reasoning_effort",
        "chat_template_kwargs",
        "continue_final_message",
        "add_generation_prompt",
        "return_token_ids",
    ]
)
COMPLETION_FIELDS = COMMON_FIELDS | frozenset(
    ["prompt", "suffix", "echo", "best_of", "return_token_ids"]
)
TOKENIZER_FIELDS = {
    "vllm": {
        "/tokenize": frozenset(
            [
                *("model", "prompt", "add_special_tokens", "messages", "add_generation_prompt"),
                *("continue_final_message", "chat_template", "chat_template_kwargs"),
            ]
        ),
        "/detokenize": frozenset(["model", "tokens"]),
    },
    "llama.cpp": {
        "/tokenize": frozenset(["content", "add_special", "parse_special", "with_pieces"]),
        "/detokenize": frozenset(["tokens"]),
        "/apply-template": frozenset(["messages", "chat_template_kwargs"]),
    },
}
"""Fields of the pages that render and tokenize, by kind of server."""
INTEGER_FIELDS = ("max_tokens", "max_completion_tokens", "top_k", "seed", "n", "top_logprobs")
NUMBER_FIELDS = ("temperature", "top_p")


def error(message: str, status: int, kind: str, code: object = None) -> dict[str, Any]:
    """OpenAI's error shape; llama.cpp and vLLM put the status in `code`."""
    return {
        "error": {
            "message": message,
            "type": kind,
            "param": None,
            "code": status if code is None else code,
        }
    }


def fault(body: dict[str, Any], chat: bool) -> str:
    """What is wrong with a request; "" when nothing is. Unknown fields are wrong."""
    unknown = sorted(set(body) - (CHAT_FIELDS if chat else COMPLETION_FIELDS))
    if unknown:
        return f"unknown fields: {', '.join(unknown)}"
    for name in INTEGER_FIELDS:
        if name in body and type(body[name]) is not int:
            return f"{name} must be an integer"
    for name in NUMBER_FIELDS:
        if name in body and type(body[name]) not in (int, float):
            return f"{name} must be a number"
    if not isinstance(body.get("stop", []), list | str):
        return "stop must be a string or a list of strings"
    return _chat_fault(body) if chat else _completion_fault(body)


def _chat_fault(body: dict[str, Any]) -> str:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages must be a list that is not empty"
    if any(not isinstance(one, dict) or "role" not in one for one in messages):
        return "every message needs a role"
    if not isinstance(body.get("logprobs", False), bool):
        return "logprobs must be a boolean"
    if "top_logprobs" in body and not body.get("logprobs"):
        return "top_logprobs needs logprobs"
    return ""


def _completion_fault(body: dict[str, Any]) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str | list):
        return "prompt must be a string or a list of token ids"
    if "logprobs" in body and type(body["logprobs"]) is not int:
        return "logprobs must be an integer"
    return ""


def prompt_tokens(body: dict[str, Any]) -> int:
    """A stand-in count: words of a text, ids of a list, words of all text parts of messages."""
    if "prompt" in body:
        prompt = body["prompt"]
        return len(prompt.split()) if isinstance(prompt, str) else len(prompt)
    return sum(_words(message.get("content")) for message in body["messages"])


def _words(content: object) -> int:
    if isinstance(content, str):
        return len(content.split())
    if isinstance(content, list):
        return sum(_words(part.get("text")) for part in content)
    return 0


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def envelope(body: dict[str, Any], chat: bool, stream: bool) -> dict[str, Any]:
    """Everything around `choices`."""
    kind = "chat.completion" if chat else "text_completion"
    return {
        "id": "chatcmpl-fake" if chat else "cmpl-fake",
        "object": kind + ".chunk" if chat and stream else kind,
        "created": int(time.time()),
        "model": body.get("model", ""),
    }


def logprobs(body: dict[str, Any], chat: bool, text: str) -> dict[str, Any] | None:
    """Logprobs of one token, in the shape of the endpoint; None when not asked."""
    asked = body.get("logprobs")
    if asked is None or asked is False:
        return None
    if not chat:
        return {
            "tokens": [text],
            "token_logprobs": [-0.5],
            "top_logprobs": [{text: -0.5}] if asked else None,
            "text_offset": [0],
        }
    top = [{"token": text, "logprob": -0.5, "bytes": list(text.encode())}]
    return {
        "content": [
            {
                "token": text,
                "logprob": -0.5,
                "bytes": list(text.encode()),
                "top_logprobs": top[: body.get("top_logprobs", 0)],
            }
        ]
    }


def tool_calls(call: dict[str, Any], arguments: str, streamed: bool) -> list[dict[str, Any]]:
    """One tool call; streamed deltas carry an index."""
    made: dict[str, Any] = {
        "id": "call_fake1",
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
    }
    return [{"index": 0, **made}] if streamed else [made]


def choice_chunk(
    index: int, chat: bool, delta: dict[str, Any], reason: str | None, probs: object
) -> dict[str, Any]:
    """One streamed choice. `delta` holds `content` also for completions."""
    shown: dict[str, Any] = {"index": index, "logprobs": probs, "finish_reason": reason}
    if chat:
        shown["delta"] = delta
    else:
        shown["text"] = delta.get("content", "")
    return shown


def vllm_metrics(model: str, running: int, waiting: int, cache_tokens: int) -> str:
    """Prometheus text, docs.vllm.ai "Production Metrics"."""
    return (
        "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig\n"
        "# TYPE vllm:cache_config_info gauge\n"
        'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",'
        f'num_gpu_blocks="{cache_tokens // 16}",sliding_window="None"}} 1.0\n'
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        f'vllm:num_requests_running{{engine="0",model_name="{model}"}} {float(running)}\n'
        "# HELP vllm:num_requests_waiting Number of requests waiting to be processed.\n"
        "# TYPE vllm:num_requests_waiting gauge\n"
        f'vllm:num_requests_waiting{{engine="0",model_name="{model}"}} {float(waiting)}\n'
    )


def vllm_models(model: str, context: int) -> dict[str, Any]:
    """GET /v1/models of vLLM."""
    card = {
        "id": model,
        "object": "model",
        "created": 1_767_225_600,
        "owned_by": "vllm",
        "root": model,
        "parent": None,
        "max_model_len": context,
        "permission": [],
    }
    return {"object": "list", "data": [card]}


def llama_models(model: str, context: int) -> dict[str, Any]:
    """GET /v1/models of llama.cpp's server."""
    card = {
        "id": model,
        "object": "model",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "created": 1_767_225_600,
        "owned_by": "llamacpp",
        "meta": {"vocab_type": 2, "n_vocab": 128256, "n_ctx_train": context * 4, "size": 1},
    }
    return {"object": "list", "data": [card]}


def llama_props(model: str, context: int, slots: int) -> dict[str, Any]:
    """GET /props of llama.cpp's server, shortened to what callers read."""
    return {
        "default_generation_settings": {"id": 0, "n_ctx": context, "is_processing": False},
        "total_slots": slots,
        "model_path": f"/models/{model}",
        "chat_template": "...",
        "chat_template_caps": {"supports_tools": True},
        "modalities": {"vision": False, "audio": False},
        "build_info": "b9000-00dc805",
        "is_sleeping": False,
    }


def llama_slots(context: int, slots: int, running: int) -> list[dict[str, Any]]:
    """GET /slots of llama.cpp's server, shortened."""
    return [
        {"id": i, "id_task": -1, "n_ctx": context, "is_processing": i < running}
        for i in range(slots)
    ]
