"""OpenAIEngine against fakes of vLLM, llama.cpp and a plain server, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from mesh.capability import ModelRef
from mesh.errors import (
    ContextTooLong,
    ElectronsError,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
)
from mesh.jobs import Chunk, Finish, JobSpec, Sampling, Usage
from services.engines.engine import Engine, Event
from services.engines.http_client import Timeouts
from services.engines.openai import OpenAIEngine
from tests.fakes.knobs import WORDS
from tests.fakes.openai_server import FakeOpenAI

Until = Callable[..., Awaitable[None]]

MODEL = ModelRef("fake-7b", "vllm")
MESSAGES = ({"role": "user", "content": "tell me more"},)
BOTH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def chat(stream: bool = True, **fields: Any) -> JobSpec:
    sampling = fields.pop("sampling", Sampling())
    messages = fields.pop("messages", MESSAGES)
    return JobSpec("chat", "fake-7b", messages, sampling=sampling, stream=stream, **fields)


async def run(engine: Engine, job: JobSpec, model: ModelRef = MODEL) -> list[Event]:
    async with aclosing(engine.run(job, model)) as events:
        return [event async for event in events]


def text_of(events: list[Event], index: int = 0) -> str:
    return "".join(one.text for one in events if isinstance(one, Chunk) and one.index == index)


@pytest.fixture
async def engine(vllm: FakeOpenAI) -> AsyncIterator[OpenAIEngine]:
    engine = OpenAIEngine(vllm.url, kind="vllm")
    yield engine
    await engine.close()


@BOTH
async def test_an_answer_arrives_whole_with_reason_and_usage(
    engine: OpenAIEngine, stream: bool
) -> None:
    events = await run(engine, chat(stream))
    assert text_of(events) == "".join(WORDS[:8])
    assert events[-1] == Finish(("stop",), Usage(prompt_tokens=3, completion_tokens=8))
    assert sum(isinstance(one, Finish) for one in events) == 1
    assert [one.end for one in events if isinstance(one, Chunk)][-1] == "stop"
    assert len(events) == (10 if stream else 2)


@BOTH
async def test_completions_take_text_and_token_ids(
    engine: OpenAIEngine, vllm: FakeOpenAI, stream: bool
) -> None:
    for prompt in ("once upon", (1, 2, 3)):
        job = JobSpec("completion", "fake-7b", prompt=prompt, stream=stream)
        events = await run(engine, job)
        assert text_of(events) == "".join(WORDS[:8])
    assert [one["prompt"] for one in vllm.seen.requests] == ["once upon", [1, 2, 3]]


@BOTH
async def test_every_sampling_field_arrives_and_zero_is_zero(
    engine: OpenAIEngine, vllm: FakeOpenAI, stream: bool
) -> None:
    sampling = Sampling(
        max_tokens=0, temperature=0.0, top_p=0.5, top_k=0, seed=0, stop=("a", "b"), n=2, logprobs=3
    )
    events = await run(engine, chat(stream, sampling=sampling))
    sent = vllm.seen.requests[0]
    expected = {
        "max_tokens": 0, "temperature": 0.0, "top_p": 0.5, "top_k": 0, "seed": 0,
        "stop": ["a", "b"], "n": 2, "logprobs": True, "top_logprobs": 3,
    }  # fmt: skip
    assert {name: sent[name] for name in expected} == expected
    assert events[-1] == Finish(("length", "length"), Usage(3, 0))


@BOTH
async def test_what_is_not_said_is_not_sent(
    engine: OpenAIEngine, vllm: FakeOpenAI, stream: bool
) -> None:
    await run(engine, chat(stream))
    asked_usage = {"stream_options"} if stream else set()
    assert set(vllm.seen.requests[0]) == {"model", "messages", "stream"} | asked_usage


@BOTH
async def test_choices_and_logprobs_come_out_by_index(engine: OpenAIEngine, stream: bool) -> None:
    sampling = Sampling(max_tokens=2, n=3, logprobs=1)
    events = await run(engine, chat(stream, sampling=sampling))
    assert {text_of(events, index) for index in range(3)} == {"".join(WORDS[:2])}
    chunks = [one for one in events if isinstance(one, Chunk)]
    assert [(one.index, one.end) for one in chunks if one.end] == [
        (index, "length") for index in range(3)
    ]
    for chunk in chunks:
        if chunk.end and not chunk.text:
            continue
        assert chunk.logprobs is not None
        assert chunk.logprobs["content"][0]["top_logprobs"][0]["logprob"] == -0.5
    assert events[-1] == Finish(("length",) * 3, Usage(3, 6))


async def test_choices_in_turn_for_a_server_without_n(vllm: FakeOpenAI) -> None:
    engine = OpenAIEngine(vllm.url, own_choices=False)
    events = await run(engine, chat(sampling=Sampling(max_tokens=2, n=2, seed=5)))
    assert [text_of(events, index) for index in range(2)] == ["".join(WORDS[:2])] * 2
    assert events[-1] == Finish(("length", "length"), Usage(3, 4))
    assert [one["seed"] for one in vllm.seen.requests] == [5, 6]
    assert all("n" not in one for one in vllm.seen.requests)
    await engine.close()


async def test_fields_nobody_names_pass_through_untouched(
    engine: OpenAIEngine, vllm: FakeOpenAI
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = ({"role": "user", "content": [{"type": "text", "text": "what?"}, image]},)
    extra = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
    }
    await run(engine, chat(messages=messages, extra=extra))
    sent = vllm.seen.requests[0]
    assert {name: sent[name] for name in extra} == extra
    assert sent["messages"] == list(messages)


@BOTH
async def test_tool_calls_and_reasoning_come_out_as_they_are(
    engine: OpenAIEngine, vllm: FakeOpenAI, stream: bool
) -> None:
    vllm.knobs.reasoning = "hmm"
    vllm.knobs.tool_call = {"name": "weather", "arguments": {"city": "Paris"}}
    events = await run(engine, chat(stream))
    deltas = [dict(one.delta) for one in events if isinstance(one, Chunk) and one.delta]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == [
        "hmm"
    ]
    assert calls[0]["id"] == "call_fake1"
    assert "".join(call["function"]["arguments"] for call in calls) == '{"city": "Paris"}'
    assert text_of(events) == ""
    assert isinstance(events[-1], Finish)
    assert events[-1].reasons == ("tool_calls",)


async def test_a_server_that_knows_no_stream_options_is_asked_without(
    engine: OpenAIEngine, vllm: FakeOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    vllm.knobs.refuse_usage = True
    for _ in range(2):
        events = await run(engine, chat())
        assert events[-1] == Finish(("stop",), Usage())
    assert ["stream_options" in one for one in vllm.seen.requests] == [True, False, False]
    assert len([line for line in caplog.messages if "counts no tokens" in line]) == 1


@BOTH
@pytest.mark.parametrize(
    ("job", "error"),
    [
        (chat(sampling=Sampling(temperature="hot")), InvalidRequest),  # type: ignore[arg-type]
        (chat(extra={"no_such_field": 1}), InvalidRequest),
        (chat(messages=({"role": "user", "content": "word " * 5000},)), ContextTooLong),
        (chat(extra={"user": 1 << 70}), InvalidRequest),
        (chat(extra={"user": "\ud800"}), InvalidRequest),
    ],
    ids=["type", "field", "context", "huge-number", "half-a-surrogate"],
)
async def test_what_is_wrong_everywhere_says_so(
    engine: OpenAIEngine, job: JobSpec, error: type[ElectronsError], stream: bool
) -> None:
    fields = {name: getattr(job, name) for name in ("messages", "extra", "sampling")}
    with pytest.raises(error) as caught:
        await run(engine, chat(stream, **fields))
    assert len(str(caught.value)) < 400


@BOTH
async def test_llama_cpp_says_too_long_in_its_own_words(
    llama_cpp: FakeOpenAI, stream: bool
) -> None:
    engine = OpenAIEngine(llama_cpp.url, kind="llama.cpp")
    with pytest.raises(ContextTooLong, match="exceeds the available context size"):
        await run(engine, chat(stream, messages=({"role": "user", "content": "word " * 5000},)))
    await engine.close()


@BOTH
async def test_a_busy_or_loading_engine_may_be_tried_elsewhere(
    engine: OpenAIEngine, vllm: FakeOpenAI, stream: bool
) -> None:
    vllm.knobs.busy = True
    with pytest.raises(EngineError, match="busy") as caught:
        await run(engine, chat(stream))
    assert not isinstance(caught.value, EngineUnavailable)
    vllm.knobs.busy, vllm.knobs.loading = False, True
    with pytest.raises(EngineError, match="Loading model"):
        await run(engine, chat(stream))


@BOTH
async def test_an_unknown_model_is_no_fault_of_the_request(
    engine: OpenAIEngine, stream: bool
) -> None:
    with pytest.raises(EngineError, match="404"):
        await run(engine, chat(stream), ModelRef("other", "vllm"))


@pytest.mark.parametrize(
    ("knob", "error"),
    [
        ("truncate_after", "before it was complete"),
        ("garbage_after", "makes no sense"),
        ("error_after", "out of memory"),
        ("fail_after", "middle of an answer"),
    ],
)
@pytest.mark.parametrize("tokens", [0, 3])
async def test_a_stream_that_breaks_is_an_engine_error(
    engine: OpenAIEngine, vllm: FakeOpenAI, knob: str, error: str, tokens: int
) -> None:
    setattr(vllm.knobs, knob, tokens)
    events: list[Event] = []
    with pytest.raises(EngineError, match=error):
        async for event in engine.run(chat(), MODEL):
            events.append(event)
    assert text_of(events) == "".join(WORDS[:tokens])
    assert not any(isinstance(one, Finish) for one in events)
    setattr(vllm.knobs, knob, None)
    assert isinstance((await run(engine, chat()))[-1], Finish)  # the engine object survives


async def test_a_refused_or_dying_engine_is_unavailable(vllm: FakeOpenAI) -> None:
    engine = OpenAIEngine(vllm.url)
    vllm.knobs.delay = 0.01
    events = engine.run(chat(), MODEL)
    await anext(events)
    await vllm.stop()
    with pytest.raises(EngineUnavailable):
        async for _ in events:
            pass
    with pytest.raises(EngineUnavailable, match="Connection refused"):
        await run(engine, chat())
    with pytest.raises(EngineUnavailable):
        await engine.probe()
    await engine.close()


async def test_a_silent_engine_is_given_up_and_let_go(vllm: FakeOpenAI) -> None:
    engine = OpenAIEngine(vllm.url, timeouts=Timeouts(silence=0.05))
    vllm.knobs.hang_after = 2
    with pytest.raises(EngineUnavailable, match="in time"):
        await run(engine, chat())
    async with asyncio.timeout(1.0):
        await vllm.seen.gone.wait()
    await engine.close()


@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_the_engine_learns_of_a_cancel_within_a_second(
    engine: OpenAIEngine, vllm: FakeOpenAI, how: str
) -> None:
    vllm.knobs.hang_after = 2
    events = engine.run(chat(), MODEL)
    await anext(events)
    await anext(events)
    if how == "aclose":
        await events.aclose()
    else:
        task = asyncio.get_running_loop().create_task(anext(events))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(1.0):
        await vllm.seen.gone.wait()
    assert vllm.seen.running == 0


async def test_cancelling_an_answer_in_one_piece_frees_the_engine(
    engine: OpenAIEngine, vllm: FakeOpenAI, until: Until
) -> None:
    vllm.knobs.first_delay = 60.0
    task = asyncio.get_running_loop().create_task(run(engine, chat(stream=False)))
    await until(lambda: vllm.seen.running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(1.0):
        await vllm.seen.gone.wait()


async def test_a_consumer_that_stops_stops_the_engine(
    engine: OpenAIEngine, vllm: FakeOpenAI, until: Until
) -> None:
    """Unread tokens stay with the engine, but for bounded buffers on the way."""
    vllm.knobs.length, vllm.knobs.token_bytes = 4_000, 4096
    async with aclosing(engine.run(chat(), MODEL)) as events:
        await anext(events)
        before = -1
        while before != vllm.seen.tokens:
            before = vllm.seen.tokens
            await asyncio.sleep(0.05)
        taken = 1
        assert vllm.seen.tokens < 2_000  # the kernel's send buffer at the engine is the most of it
        async for event in events:
            taken += isinstance(event, Chunk) and bool(event.text)
    assert taken == 4_000


@BOTH
async def test_connections_are_used_again(
    engine: OpenAIEngine, vllm: FakeOpenAI, stream: bool
) -> None:
    for _ in range(5):
        await run(engine, chat(stream))
    assert len(vllm.seen.connections) == 1


async def test_an_api_key_goes_out_as_a_bearer_token() -> None:
    async with FakeOpenAI("plain", api_key="sk-right") as fake:
        right, wrong = OpenAIEngine(fake.url, api_key="sk-right"), OpenAIEngine(fake.url)
        assert isinstance((await run(right, chat()))[-1], Finish)
        with pytest.raises(EngineError, match="API key"):
            await run(wrong, chat())
        with pytest.raises(EngineUnavailable, match="API key"):
            await wrong.probe()
        await right.close()
        await wrong.close()


async def test_vllm_tells_models_and_load(engine: OpenAIEngine, vllm: FakeOpenAI) -> None:
    status = await engine.probe()
    (model,) = status.models
    assert (model.name, model.engine, model.context) == ("fake-7b", "vllm", 4096)
    assert status.slots == 2  # as many jobs of 4096 tokens as its cache holds
    vllm.knobs.hang_after = 1
    async with aclosing(engine.run(chat(), MODEL)) as events:
        await anext(events)
        assert (await engine.probe()).running == 1


async def test_llama_cpp_tells_slots_and_load_and_hides_its_folder(llama_cpp: FakeOpenAI) -> None:
    engine = OpenAIEngine(llama_cpp.url, kind="llama.cpp")
    status = await engine.probe()
    (model,) = status.models
    assert (model.name, model.quantisation) == ("Tiny-7B-Q4_K_M", "Q4_K_M")
    assert (model.context, status.slots) == (4096, 3)
    assert "vision" not in model.features
    llama_cpp.knobs.hang_after = 1
    async with aclosing(engine.run(chat(), model)) as events:
        await anext(events)
        assert (await engine.probe()).running == 1
    assert llama_cpp.seen.requests[0]["model"] == "/models/Tiny-7B-Q4_K_M.gguf"
    await engine.close()


async def test_a_loading_engine_is_not_ready(engine: OpenAIEngine, vllm: FakeOpenAI) -> None:
    vllm.knobs.loading = True
    with pytest.raises(EngineUnavailable, match="Loading model"):
        await engine.probe()


async def test_a_url_may_end_in_v1(vllm: FakeOpenAI) -> None:
    engine = OpenAIEngine(f"{vllm.url}/v1/", kind="vllm")
    assert (await engine.probe()).models[0].name == "fake-7b"
    assert engine.name == f"vllm@127.0.0.1:{vllm.port}"
    await engine.close()
