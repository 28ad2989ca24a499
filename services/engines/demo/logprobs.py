"""Log probabilities in the shapes that OpenAI's two endpoints give them.

https://platform.openai.com/docs/api-reference/chat/object and .../completions/object, 2025-10.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mesh.jobs import Kind
from services.engines.demo.model import Floats
from services.engines.demo.sampling import log_probabilities
from services.engines.demo.tokenizer import Tokenizer

LOWEST = -9999.0
"""Stands for minus infinity, which JSON cannot hold."""


def describe_logprobs(
    kind: Kind, tokenizer: Tokenizer, logits: Floats, token: int, top: int, offset: int
) -> dict[str, Any]:
    """The logprobs object of one token; `offset` is where its text starts in the answer."""
    logs = log_probabilities(logits)
    order = np.argsort(-logs, kind="stable")[:top]
    likeliest = [(int(other), _clip(logs[other])) for other in order]
    own = _clip(logs[token])
    if kind == "chat":
        entry = _chat_entry(tokenizer, token, own)
        entry["top_logprobs"] = [_chat_entry(tokenizer, *pair) for pair in likeliest]
        return {"content": [entry], "refusal": None}
    named = {tokenizer.token_name(other): value for other, value in likeliest}
    return {
        "tokens": [tokenizer.token_name(token)],
        "token_logprobs": [own],
        "top_logprobs": [named] if top else None,
        "text_offset": [offset],
    }


def _chat_entry(tokenizer: Tokenizer, token: int, value: float) -> dict[str, Any]:
    data = tokenizer.token_bytes(token)
    return {"token": tokenizer.token_name(token), "logprob": value, "bytes": list(data)}


def _clip(value: np.floating[Any]) -> float:
    return max(float(value), LOWEST)
