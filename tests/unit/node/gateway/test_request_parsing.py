"""Bodies to jobs: whatever comes in, either a JobSpec comes out or an InvalidRequest."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import InvalidRequest
from node.gateway.json_body import MalformedJson, decode_object
from node.gateway.limits import MAX_BRACKETS, MAX_DEPTH
from node.gateway.openai_chat import parse_chat
from node.gateway.openai_completions import parse_completion
from node.gateway.text_generate import parse_text

MESSAGES = [{"role": "user", "content": "Hi"}]
CHAT: dict[str, Any] = {"model": "m", "messages": MESSAGES}

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
known_fields = st.sampled_from(
    [
        *("model", "messages", "prompt", "stream", "stream_options", "stop", "n", "seed"),
        *("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "logprobs"),
        *("top_logprobs", "tools", "functions", "response_format", "options", "model_id"),
        *("expect_json", "json_max_retries"),
    ]
)


def parse_any(body: bytes) -> None:
    for parse in (
        parse_chat,
        parse_completion,
        lambda raw: parse_text(raw, lambda _: True, stream=False),
        lambda raw: parse_text(raw, lambda _: False, stream=True),
    ):
        try:
            parse(body)
        except InvalidRequest as refusal:
            assert str(refusal)


@given(st.binary(max_size=200))
def test_bytes_never_raise_anything_but_invalid_request(body: bytes) -> None:
    parse_any(body)


@given(st.dictionaries(known_fields, anything, max_size=8))
def test_wrong_types_never_raise_anything_but_invalid_request(fields: dict[str, Any]) -> None:
    parse_any(orjson.dumps({"model": "m", "messages": MESSAGES, "prompt": "p", **fields}))


@given(st.lists(anything, max_size=4))
def test_odd_messages_never_raise_anything_but_invalid_request(messages: list[Any]) -> None:
    parse_any(orjson.dumps({"model": "m", "messages": messages}))


@given(st.dictionaries(st.text(min_size=1, max_size=20), anything, max_size=5))
def test_fields_nobody_knows_come_through_untouched(fields: dict[str, Any]) -> None:
    unknown = {f"x_{name}": value for name, value in fields.items()}
    sent = orjson.loads(orjson.dumps(unknown))
    assert parse_chat(orjson.dumps({**CHAT, **unknown})).job.extra == sent


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 5),
        ("model", ""),
        ("model", "a\nb"),
        ("model", "x" * 1000),
        ("messages", []),
        ("messages", "Hi"),
        ("messages", [{"content": "no role"}]),
        ("messages", [{"role": "user", "content": 5}]),
        ("messages", [{"role": "user", "content": [{"no": "type"}]}]),
        ("temperature", "hot"),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", True),
        ("top_p", 1.5),
        ("n", 0),
        ("n", 17),
        ("n", 1.5),
        ("seed", 2**63),
        ("max_tokens", -1),
        ("max_completion_tokens", "9"),
        ("stop", [""]),
        ("stop", ["x"] * 17),
        ("stop", 5),
        ("stream", "yes"),
        ("stream_options", {"include_usage": 1}),
        ("top_logprobs", 3),
        ("tools", {}),
        ("tools", ["f"]),
        ("response_format", "json"),
    ],
)
def test_the_message_and_the_param_name_the_wrong_field(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_chat(orjson.dumps({**CHAT, field: value}))
    assert refusal.value.param is not None
    assert refusal.value.param.startswith(field)
    assert field in str(refusal.value)


def test_what_is_missing_is_named() -> None:
    for body, param in ((b'{"messages":[]}', "model"), (b'{"model":"m"}', "messages")):
        with pytest.raises(InvalidRequest) as refusal:
            parse_chat(body)
        assert refusal.value.param == param


def test_zero_is_zero_and_absent_is_the_engines_default() -> None:
    zero = parse_chat(orjson.dumps({**CHAT, "temperature": 0, "max_tokens": 0, "seed": 0}))
    assert zero.job.sampling.temperature == 0.0
    assert (zero.job.sampling.max_tokens, zero.job.sampling.seed) == (0, 0)
    for body in (CHAT, {**CHAT, "temperature": None, "max_tokens": None, "n": None}):
        absent = parse_chat(orjson.dumps(body)).job.sampling
        assert (absent.temperature, absent.max_tokens, absent.n) == (None, None, 1)


def test_prompts_are_text_or_token_ids() -> None:
    def prompt(value: object) -> object:
        return parse_completion(orjson.dumps({"model": "m", "prompt": value})).job.prompt

    assert prompt("text") == "text"
    assert prompt(["text"]) == "text"
    assert prompt([1, 2.0]) == (1, 2)
    assert prompt([[1, 2]]) == (1, 2)
    wrongs: list[object] = [[], [-1], [True], ["a", "b"], [1, "a"], 5, None, {}]
    for wrong in wrongs:
        with pytest.raises(InvalidRequest) as refusal:
            prompt(wrong)
        assert refusal.value.param == "prompt"


@pytest.mark.parametrize("opener", ["[", '{"a":'])
def test_nesting_is_bounded(opener: str) -> None:
    closer = "]" if opener == "[" else "}"

    def nested(depth: int) -> bytes:
        return b'{"x":' + (opener * depth + "1" + closer * depth).encode() + b"}"

    decode_object(nested(MAX_DEPTH - 1))
    with pytest.raises(InvalidRequest, match="deeper"):
        decode_object(nested(MAX_DEPTH))
    with pytest.raises(InvalidRequest):
        decode_object(nested(100_000))


def test_brackets_in_strings_do_not_count() -> None:
    text = '[{"\\"[' * 1000
    assert decode_object(orjson.dumps({"x": text, "y": [1] * 70})) == {"x": text, "y": [1] * 70}


def test_a_body_of_nothing_but_small_arrays_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="arrays"):
        decode_object(b'{"x":[' + b"[]," * (MAX_BRACKETS // 2) + b"[]]}")


def test_what_is_not_json_is_told_apart() -> None:
    for body in (b"", b"not json", b'{"a":', b"\xff"):
        with pytest.raises(MalformedJson):
            decode_object(body)
    for body in (b"[]", b"1", b'"text"', b"null"):
        with pytest.raises(InvalidRequest, match="object"):
            decode_object(body)


def known(name: str) -> bool:
    return name in {"story", "llama3:8b"}


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({}, "auto"),
        ({"model": "story"}, "story"),
        ({"model": "openai:gpt-4o-mini"}, "gpt-4o-mini"),
        ({"model": "llama3:8b"}, "llama3:8b"),
        ({"model": "unknown:8b"}, "unknown:8b"),
        ({"model_id": "story", "model": "other"}, "story"),
        ({"model_id": "zzz"}, "auto"),
        ({"model_id": "zzz", "model": "other"}, "other"),
    ],
)
def test_the_originals_ways_to_name_a_model(fields: dict[str, str], model: str) -> None:
    call = parse_text(orjson.dumps({"prompt": "hi", **fields}), known, stream=False)
    assert call.job.model == model


def test_options_cannot_change_what_the_job_is_or_whose_key_pays() -> None:
    options = {"api_key": "EVIL", "model": "x", "messages": [], "n": 9, "stream": True, "mood": 1}
    call = parse_text(orjson.dumps({"prompt": "hi", "options": options}), known, stream=False)
    assert call.job.extra == {"mood": 1}
    assert (call.job.model, call.job.stream, call.job.sampling.n) == ("auto", False, 1)


def test_the_originals_defaults() -> None:
    sampling = parse_text(b'{"prompt":"hi"}', known, stream=False).job.sampling
    assert (sampling.max_tokens, sampling.temperature) == (1000, 0.7)
    for blank in (b"{}", b'{"prompt":"  "}', b'{"prompt":null}'):
        with pytest.raises(InvalidRequest):
            parse_text(blank, known, stream=False)
