from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import ContextTooLong, InvalidRequest, NotSupported
from mesh.jobs import Emitted, Feature, JobSpec, Sampling
from services.engines.demo.protocol import encode, make_unpacker, pack_request, unpack_request
from services.engines.demo.request import DEFAULT_TEMPERATURE, read_request


def chat(*messages: Mapping[str, Any], **fields: Any) -> JobSpec:
    return JobSpec("chat", "demo", messages or ({"role": "user", "content": "hi"},), **fields)


def test_roles_and_text_parts_become_turns() -> None:
    parts = [{"type": "text", "text": "Tell "}, {"type": "text", "text": "me"}]
    job = chat(
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": parts, "name": "ann"},
        {"role": "assistant", "content": None},
    )
    turns = read_request(job, 5).turns
    assert turns == (("system", "Be brief."), ("user", "Tell me"), ("assistant", ""))


def test_what_is_not_said_gets_the_default_and_zero_stays_zero() -> None:
    unsaid = read_request(chat(), 5).settings
    assert (unsaid.temperature, unsaid.seed, unsaid.choices) == (DEFAULT_TEMPERATURE, 5, 1)
    zero = read_request(chat(sampling=Sampling(temperature=0.0, max_tokens=0, seed=0)), 5).settings
    assert (zero.temperature, zero.max_tokens, zero.seed) == (0.0, 0, 0)


@pytest.mark.parametrize(
    ("need", "named"), [("tools", "tools"), ("vision", "images"), ("json", "response_format")]
)
def test_needs_are_refused_by_name(need: Feature, named: str) -> None:
    with pytest.raises(NotSupported, match=named):
        read_request(chat(needs=(need,)), 1)


@pytest.mark.parametrize(
    "extra",
    [
        {"echo": True},
        {"suffix": "x"},
        {"best_of": 3},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_fields_that_cannot_be_honoured_are_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(NotSupported, match=next(iter(extra))):
        read_request(chat(extra=extra), 1)


def test_fields_that_ask_for_nothing_pass() -> None:
    extra = {
        "echo": False,
        "suffix": None,
        "best_of": 1,
        "tools": [],
        "response_format": {"type": "text"},
        "user": "ann",
        "unheard_of": [1, 2],
        "frequency_penalty": 0,
        "logit_bias": None,
    }
    assert read_request(chat(extra=extra), 1).settings.bias == ()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"role": "tool", "content": "x"}, NotSupported),
        ({"role": "assistant", "tool_calls": [{}]}, NotSupported),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, NotSupported),
        ({"role": "wizard", "content": "x"}, InvalidRequest),
        ({"content": "x"}, InvalidRequest),
        ({"role": "user", "content": 5}, InvalidRequest),
        ({"role": "user", "content": ["x"]}, InvalidRequest),
        ({"role": "user", "content": [{"type": "text"}]}, InvalidRequest),
        ({"role": "user", "content": "x" * 70_000}, ContextTooLong),
    ],
)
def test_messages_that_cannot_be_read_are_refused(
    message: dict[str, Any], error: type[InvalidRequest]
) -> None:
    with pytest.raises(error) as caught:
        read_request(chat(message), 1)
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=-1),
        Sampling(temperature=-0.1),
        Sampling(temperature=float("nan")),
        Sampling(top_p=1.5),
        Sampling(n=0),
        Sampling(n=17),
        Sampling(logprobs=21),
        Sampling(stop=("",)),
        Sampling(stop=("x" * 300,)),
        Sampling(stop=("x",) * 17),
    ],
)
def test_settings_out_of_range_are_refused(sampling: Sampling) -> None:
    with pytest.raises(InvalidRequest):
        read_request(chat(sampling=sampling), 1)


@pytest.mark.parametrize(
    "extra",
    [
        {"logit_bias": [1]},
        {"logit_bias": {"x": 1}},
        {"logit_bias": {"1": float("inf")}},
        {"logit_bias": {"1": 10**400}},
        {"logit_bias": {str(2**70): 1}},
        {"frequency_penalty": "high"},
        {"presence_penalty": 3},
    ],
)
def test_odd_extra_fields_are_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        read_request(chat(extra=extra), 1)


@pytest.mark.parametrize(
    "resume",
    [
        (Emitted(),),
        (Emitted(), Emitted(), Emitted()),
        (Emitted(), Emitted("", (-1,))),
        (Emitted(), Emitted("", (2**70,))),
        (Emitted(), Emitted("x" * 100_000)),
    ],
)
def test_odd_resumptions_are_refused(resume: tuple[Emitted, ...]) -> None:
    with pytest.raises(InvalidRequest):
        read_request(replace(chat(sampling=Sampling(n=2)), resume=resume), 1)


@pytest.mark.parametrize("prompt", [(), ("a",), (-1,), None])
def test_prompts_that_are_no_ids_are_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest):
        read_request(JobSpec("completion", "demo", prompt=prompt), 1)


def test_a_request_crosses_the_pipe_unchanged() -> None:
    sampling = Sampling(seed=-(10**30), stop=("a", "\ud800"), n=1, logprobs=3, top_k=10**30)
    resume = (Emitted("ab", (5, 6)),)
    for job in (
        replace(chat(sampling=sampling, extra={"logit_bias": {"7": -100}}), resume=resume),
        replace(chat(), resume=(Emitted("ab", finished=True),)),
        JobSpec("completion", "demo", prompt=(0, 9), stream=True),
        JobSpec("completion", "demo", prompt="once"),
    ):
        request = read_request(job, 3)
        unpacker = make_unpacker()
        unpacker.feed(encode(pack_request(request)))
        assert unpack_request(next(unpacker)) == request
