"""OpenAI's requests in Ollama's words, and what has no words there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ElectronsError, InvalidRequest, NotSupported
from mesh.jobs import JobSpec, Sampling
from services.engines.ollama_answer import AnswerReader
from services.engines.ollama_models import (
    Tag,
    Traits,
    model_ref,
    read_loaded,
    read_tags,
    read_traits,
    read_version,
)
from services.engines.ollama_request import read_messages, request_body

USER = {"role": "user", "content": "hi"}


def body_of(**fields: Any) -> dict[str, Any]:
    job = JobSpec("chat", "m", fields.pop("messages", (USER,)), **fields)
    return request_body(job, "m", job.sampling)


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        ({"tool_choice": "required"}, NotSupported),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, NotSupported),
        ({"logit_bias": {"50": 1}}, NotSupported),
        ({"best_of": 3}, NotSupported),
        ({"echo": True}, NotSupported),
        ({"response_format": {"type": "grammar"}}, InvalidRequest),
        ({"response_format": "json"}, InvalidRequest),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, InvalidRequest),
    ],
)
def test_what_ollama_cannot_do_is_refused(
    extra: dict[str, Any], error: type[ElectronsError]
) -> None:
    with pytest.raises(error):
        body_of(extra=extra)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ([{"type": "image_url", "image_url": {"url": "http://10.0.0.1/x.png"}}], NotSupported),
        ([{"type": "image_url", "image_url": {"url": "data:image/png,xx"}}], InvalidRequest),
        ([{"type": "input_audio", "input_audio": {}}], NotSupported),
        (["text"], NotSupported),
        ({"text": "x"}, InvalidRequest),
    ],
)
def test_content_ollama_cannot_take_is_refused(content: Any, error: type[ElectronsError]) -> None:
    with pytest.raises(error):
        read_messages([{"role": "user", "content": content}])


@pytest.mark.parametrize("arguments", ["{", "[1]", "3", None, 5])
def test_tool_calls_with_arguments_that_are_no_object(arguments: object) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    with pytest.raises(InvalidRequest):
        read_messages([message])


def test_token_ids_are_not_supported_and_infilling_is() -> None:
    with pytest.raises(NotSupported):
        request_body(JobSpec("completion", "m", prompt=(1, 2)), "m", Sampling())
    job = JobSpec("completion", "m", prompt="def f(", extra={"suffix": "return 1"})
    assert request_body(job, "m", Sampling()) == {
        "model": "m",
        "stream": False,
        "prompt": "def f(",
        "suffix": "return 1",
    }


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("high", "high"), ("odd", None)]
)
def test_reasoning_effort_becomes_think(effort: str, think: object) -> None:
    assert body_of(extra={"reasoning_effort": effort}).get("think") == think


def test_tools_are_held_back_when_the_client_says_none() -> None:
    assert "tools" not in body_of(extra={"tools": [{}], "tool_choice": "none"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["message", "content", "response", "done", "error", "tool_calls", "function", "name",
             "logprobs", "token", "models", "model_info", "details", "digest", "capabilities"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values, st.booleans())
def test_nonsense_is_an_error_of_ours_and_never_a_crash(value: object, chat: bool) -> None:
    reader = AnswerReader("e", chat=chat, stream=True)
    try:
        chunks = reader.read(orjson.dumps(value))
    except ElectronsError:
        return
    assert all(isinstance(chunk.text, str) for chunk in chunks)


@given(json_values)
def test_pages_of_nonsense_name_no_models(value: object) -> None:
    assert all(tag.name for tag in read_tags(value))
    read_loaded(value)
    read_traits(value)
    read_version(value)


def test_models_of_a_cloud_account_are_left_out() -> None:
    entries = [
        {"name": "gpt-oss:120b-cloud", "digest": "1"},
        {"name": "proxy", "digest": "2", "remote_host": "https://ollama.com"},
        {"name": "own:1b", "digest": "3", "details": {"quantization_level": "Q8_0"}},
    ]
    assert read_tags({"models": entries}) == (Tag("own:1b", "3", "Q8_0"),)


@pytest.mark.parametrize(
    ("loaded", "trained", "context"),
    [(None, 131072, 4096), (None, 2048, 2048), (32768, 131072, 32768), (0, 8192, 4096)],
)
def test_no_more_context_is_promised_than_ollama_gives(
    loaded: int | None, trained: int, context: int
) -> None:
    traits = Traits(trained, ("completion", "vision"))
    ref = model_ref(Tag("m", "d", "Q4_0"), traits, loaded, (0, 12, 10))
    assert ref.context == context
    assert ref.features == ("json", "vision")


@pytest.mark.parametrize(
    ("version", "read"),
    [("0.12.11", (0, 12, 11)), ("0.13.0-rc1", (0, 13, 0)), ("dev", ()), (None, ())],
)
def test_versions(version: object, read: tuple[int, ...]) -> None:
    assert read_version({"version": version}) == read
