"""OllamaEngine against a fake of Ollama's native API, over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from mesh.capability import ModelRef
from mesh.errors import EngineError, EngineUnavailable, InvalidRequest, NotSupported
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from services.engines.engine import Engine, Event
from services.engines.ollama import OllamaEngine
from tests.fakes.knobs import WORDS
from tests.fakes.ollama_server import FakeOllama

MODEL = ModelRef("llama3.2:3b", "ollama")
BOTH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def chat(stream: bool = True, **fields: Any) -> JobSpec:
    messages = fields.pop("messages", ({"role": "user", "content": "tell me more"},))
    return JobSpec("chat", MODEL.name, messages, stream=stream, **fields)


async def run(engine: Engine, job: JobSpec, model: ModelRef = MODEL) -> list[Event]:
    async with aclosing(engine.run(job, model)) as events:
        return [event async for event in events]


def text_of(events: list[Event], index: int = 0) -> str:
    return "".join(one.text for one in events if isinstance(one, Chunk) and one.index == index)


@pytest.fixture
async def engine(ollama: FakeOllama) -> AsyncIterator[OllamaEngine]:
    engine = OllamaEngine(ollama.url)
    yield engine
    await engine.close()


@BOTH
@pytest.mark.parametrize("kind", ["chat", "completion"])
async def test_an_answer_arrives_whole_with_reason_and_usage(
    engine: OllamaEngine, ollama: FakeOllama, stream: bool, kind: str
) -> None:
    plain = JobSpec("completion", MODEL.name, prompt="once upon a time", stream=stream)
    job = chat(stream) if kind == "chat" else plain
    events = await run(engine, job)
    assert text_of(events) == "".join(WORDS[:8])
    assert isinstance(events[-1], Finish)
    assert events[-1].reasons == ("stop",)
    assert events[-1].usage.completion_tokens == 8
    assert events[-1].usage.prompt_tokens > 0
    assert len(events) == (9 if stream else 2)
    assert ollama.seen.requests[0].get("raw", False) is (kind == "completion")


@BOTH
async def test_sampling_becomes_options_and_zero_is_zero(
    engine: OllamaEngine, ollama: FakeOllama, stream: bool
) -> None:
    sampling = Sampling(max_tokens=2, temperature=0.0, top_p=0.5, top_k=0, seed=0, stop=("a",))
    events = await run(engine, chat(stream, sampling=sampling))
    assert ollama.seen.requests[0]["options"] == {
        "num_predict": 2, "temperature": 0.0, "top_p": 0.5, "top_k": 0, "seed": 0, "stop": ["a"],
    }  # fmt: skip
    assert isinstance(events[-1], Finish)
    assert events[-1].reasons == ("length",)


async def test_what_is_not_said_is_not_sent(engine: OllamaEngine, ollama: FakeOllama) -> None:
    await run(engine, chat(extra={"user": "u", "metadata": {}}))
    assert set(ollama.seen.requests[0]) == {"model", "messages", "stream"}


async def test_no_tokens_are_no_tokens(engine: OllamaEngine, ollama: FakeOllama) -> None:
    events = await run(engine, chat(sampling=Sampling(max_tokens=0, n=2)))
    assert events[-1] == Finish(("length", "length"))
    assert all(
        isinstance(one, Finish) or one == Chunk("", one.index, end="length") for one in events
    )
    assert not ollama.seen.requests


@BOTH
async def test_choices_are_asked_for_in_turn(
    engine: OllamaEngine, ollama: FakeOllama, stream: bool
) -> None:
    events = await run(engine, chat(stream, sampling=Sampling(n=3, seed=7, max_tokens=2)))
    assert [text_of(events, index) for index in range(3)] == ["".join(WORDS[:2])] * 3
    assert [one["options"]["seed"] for one in ollama.seen.requests] == [7, 8, 9]
    assert isinstance(events[-1], Finish)
    assert events[-1].reasons == ("length",) * 3
    assert events[-1].usage.completion_tokens == 6


@BOTH
async def test_tool_calls_come_out_as_openai_shapes_them(
    engine: OllamaEngine, ollama: FakeOllama, stream: bool
) -> None:
    ollama.knobs.tool_call = {"name": "weather", "arguments": {"city": "Paris"}}
    ollama.knobs.reasoning = "hmm"
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    events = await run(engine, chat(stream, extra={"tools": tools, "tool_choice": "auto"}))
    deltas = [one.delta for one in events if isinstance(one, Chunk) and one.delta]
    assert [one["reasoning_content"] for one in deltas if "reasoning_content" in one] == ["hmm"]
    (call,) = next(one["tool_calls"] for one in deltas if "tool_calls" in one)
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    assert call["id"].startswith("call_")
    assert call.get("index") == (0 if stream else None)
    assert isinstance(events[-1], Finish)
    assert events[-1].reasons == ("tool_calls",)
    assert ollama.seen.requests[0]["tools"] == tools


async def test_history_with_tools_and_images_is_translated(
    engine: OllamaEngine, ollama: FakeOllama
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    messages = (
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    )
    await run(engine, chat(messages=messages))
    assert ollama.seen.requests[0]["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "look", "images": ["QUJD"]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "42", "tool_name": "f"},
    ]


@BOTH
async def test_logprobs_take_openais_shape(engine: OllamaEngine, stream: bool) -> None:
    sampling = Sampling(max_tokens=1, logprobs=1)
    events = await run(engine, chat(stream, sampling=sampling))
    assert isinstance(events[0], Chunk)
    assert events[0].logprobs is not None
    assert events[0].logprobs["content"][0]["top_logprobs"][0]["token"] == WORDS[0]
    plain = JobSpec("completion", MODEL.name, prompt="x", sampling=sampling, stream=stream)
    events = await run(engine, plain)
    assert isinstance(events[0], Chunk)
    assert events[0].logprobs == {
        "tokens": [WORDS[0]],
        "token_logprobs": [-0.5],
        "top_logprobs": [{WORDS[0]: -0.5}],
        "text_offset": [0],
    }


@pytest.mark.parametrize(
    ("response_format", "sent"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, "json"),
        (
            {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
            {"type": "object"},
        ),
    ],
)
async def test_response_formats(
    engine: OllamaEngine, ollama: FakeOllama, response_format: dict[str, Any], sent: object
) -> None:
    await run(engine, chat(extra={"response_format": response_format}))
    assert ollama.seen.requests[0].get("format") == sent


@pytest.mark.parametrize("knob", ["truncate_after", "garbage_after", "error_after", "fail_after"])
async def test_a_stream_that_breaks_is_an_engine_error(
    engine: OllamaEngine, ollama: FakeOllama, knob: str
) -> None:
    setattr(ollama.knobs, knob, 3)
    events: list[Event] = []
    with pytest.raises(EngineError):
        async for event in engine.run(chat(), MODEL):
            events.append(event)
    assert text_of(events) == "".join(WORDS[:3])
    assert not any(isinstance(one, Finish) for one in events)


@BOTH
async def test_refusals_mean_what_they_mean(
    engine: OllamaEngine, ollama: FakeOllama, stream: bool
) -> None:
    with pytest.raises(EngineError, match="not found"):
        await run(engine, chat(stream), ModelRef("other", "ollama"))
    ollama.knobs.busy = True
    with pytest.raises(EngineError, match="busy"):
        await run(engine, chat(stream))
    ollama.knobs.busy = False
    ollama.capabilities = ["completion"]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    with pytest.raises(NotSupported, match="does not support tools"):
        await run(engine, chat(stream, extra={"tools": tools}))
    with pytest.raises(InvalidRequest):
        await run(engine, chat(stream, extra={"reasoning_effort": "low", "min_p": 1 << 70}))


async def test_the_engine_learns_of_a_cancel_within_a_second(
    engine: OllamaEngine, ollama: FakeOllama
) -> None:
    ollama.knobs.hang_after = 1
    events = engine.run(chat(), MODEL)
    await anext(events)
    await events.aclose()
    async with asyncio.timeout(1.0):
        await ollama.seen.gone.wait()
    ollama.knobs.hang_after = None
    ollama.seen.gone.clear()
    ollama.knobs.delay = 0.01
    in_turn = engine.run(chat(sampling=Sampling(n=2)), MODEL)
    await anext(in_turn)
    await in_turn.aclose()
    async with asyncio.timeout(1.0):
        await ollama.seen.gone.wait()


async def test_connections_are_used_again(engine: OllamaEngine, ollama: FakeOllama) -> None:
    for stream in (True, False, True):
        await run(engine, chat(stream))
    assert len(ollama.seen.connections) == 1


async def test_models_come_with_digest_quantisation_and_features(
    engine: OllamaEngine, ollama: FakeOllama
) -> None:
    status = await engine.probe()
    (model,) = status.models
    assert (model.name, model.engine) == ("llama3.2:3b", "ollama")
    assert model.digest.startswith("a80c4f17acd5")
    assert model.quantisation == "Q4_K_M"
    assert model.features == ("tools", "json", "logprobs", "resume")
    assert model.context == 4096  # made for 8192, but Ollama gives 4096 unless told otherwise
    assert status.slots == 1


async def test_models_that_generate_no_text_are_left_out(ollama: FakeOllama) -> None:
    ollama.capabilities = ["embedding"]
    engine = OllamaEngine(ollama.url)
    assert (await engine.probe()).models == ()
    await engine.close()


async def test_a_stopped_ollama_is_unavailable(engine: OllamaEngine, ollama: FakeOllama) -> None:
    await engine.probe()
    await ollama.stop()
    with pytest.raises(EngineUnavailable):
        await engine.probe()
    with pytest.raises(EngineUnavailable):
        await run(engine, chat())
