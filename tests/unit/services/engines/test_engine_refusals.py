"""What engines' error answers mean, in their own words (vLLM, llama.cpp, Ollama, FastAPI)."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import (
    ContextTooLong,
    ElectronsError,
    EngineError,
    InvalidRequest,
    NotSupported,
)
from services.engines.answer_errors import MAX_MESSAGE, refusal, tidy

VLLM_LONG = (
    "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens "
    "(8000 in the messages, 1000 in the completion)."
)
LLAMA_LONG = "request (5000 tokens) exceeds the available context size (4096 tokens), try again"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"object": "error", "message": VLLM_LONG, "code": 400}, ContextTooLong),
        (400, {"error": {"message": VLLM_LONG, "code": 400}}, ContextTooLong),
        (
            400,
            {"error": {"message": LLAMA_LONG, "type": "exceed_context_size_error"}},
            ContextTooLong,
        ),
        (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, ContextTooLong),
        (400, {"error": {"message": "temperature must be non-negative"}}, InvalidRequest),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "not an int"}]}, InvalidRequest),
        (400, {"error": "registry.ollama.ai/library/x does not support tools"}, NotSupported),
        (501, {"error": {"message": "This server does not support x"}}, NotSupported),
        (
            500,
            {"error": {"message": "image input is not supported - hint: provide the mmproj"}},
            NotSupported,
        ),
        (404, {"error": {"message": "The model `x` does not exist."}}, EngineError),
        (429, {"error": {"message": "slow down"}}, EngineError),
        (503, {"error": {"message": "Loading model", "type": "unavailable_error"}}, EngineError),
        (500, {"error": {"message": "CUDA error"}}, EngineError),
        (302, {}, EngineError),
        (401, {"error": {"message": "Invalid API Key"}}, EngineError),
    ],
)
def test_what_a_refusal_means(status: int, body: object, kind: type[ElectronsError]) -> None:
    error = refusal(status, orjson.dumps(body), "http://engine")
    assert type(error) is kind


@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_answer_means_something(status: int, body: bytes) -> None:
    assert isinstance(refusal(status, body, "http://engine"), ElectronsError)


@given(st.text(max_size=2000))
def test_an_engines_words_are_one_bounded_line(words: str) -> None:
    shown = tidy(words)
    assert len(shown) <= MAX_MESSAGE
    assert shown.isprintable()


def test_the_text_of_a_key_error_says_nothing_of_the_key() -> None:
    body = orjson.dumps({"error": {"message": "Incorrect API key provided: sk-secret"}})
    assert "sk-secret" not in str(refusal(401, body, "http://engine"))
