"""The official OpenAI client against the gateway, retries off so that nothing is papered over."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest

from mesh.errors import InvalidRequest, ModelNotFound, Overloaded
from mesh.jobs import Chunk, Finish, JobSpec, Usage
from tests.integration.gateway.conftest import Door
from tests.integration.gateway.twins import WORKER


@pytest.fixture
async def client(door: Door) -> AsyncIterator[openai.AsyncOpenAI]:
    """The client as a developer would point it at a node."""
    made = openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key="any", max_retries=0)
    yield made
    await made.close()


def last_job(door: Door) -> JobSpec:
    return door.dispatch.jobs[-1]


async def test_a_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="story", messages=[{"role": "user", "content": "Hi"}]
    )
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 5
    assert answer._request_id


async def test_headers_are_there_for_who_looks(client: openai.AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="story", messages=[{"role": "user", "content": "Hi"}]
    )
    assert raw.headers["x-electrons-node"] == WORKER


async def test_a_streamed_chat_with_usage(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="story",
        messages=[{"role": "user", "content": "Hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hello there"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2


async def test_streamed_tool_calls(client: openai.AsyncOpenAI, door: Door) -> None:
    call = {"index": 0, "id": "c1", "type": "function"}
    first = {**call, "function": {"name": "look", "arguments": ""}}
    second = {"index": 0, "function": {"arguments": "{}"}}
    door.dispatch.play(
        [
            Chunk(delta={"tool_calls": [first]}),
            Chunk(delta={"tool_calls": [second]}),
            Finish(("tool_calls",), Usage(1, 1)),
        ]
    )
    async with client.chat.completions.stream(
        model="story",
        messages=[{"role": "user", "content": "Hi"}],
        tools=[{"type": "function", "function": {"name": "look", "parameters": {}}}],
    ) as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert (calls[0].id, calls[0].function.name) == ("c1", "look")
    assert calls[0].function.arguments == "{}"
    assert "tools" in last_job(door).needs


async def test_logprobs(client: openai.AsyncOpenAI, door: Door) -> None:
    entry = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    door.dispatch.play([Chunk("Hi", logprobs={"content": [entry]}), Finish()])
    answer = await client.chat.completions.create(
        model="story",
        messages=[{"role": "user", "content": "Hi"}],
        logprobs=True,
        top_logprobs=2,
    )
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content is not None
    assert answer.choices[0].logprobs.content[0].token == "Hi"
    assert last_job(door).sampling.logprobs == 2


async def test_a_completion_and_its_logprobs(client: openai.AsyncOpenAI, door: Door) -> None:
    entries = [{"token": "He", "logprob": -1.0}, {"token": "y", "logprob": -2.0}]
    door.dispatch.play([Chunk("Hey", logprobs={"content": entries}), Finish()])
    answer = await client.completions.create(model="story", prompt="Once", logprobs=1)
    assert answer.choices[0].text == "Hey"
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.tokens == ["He", "y"]
    assert answer.choices[0].logprobs.text_offset == [0, 2]


async def test_models(client: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list()]
    assert "org/big:7b" in names
    assert (await client.models.retrieve("org/big:7b")).id == "org/big:7b"


async def test_errors_arrive_as_the_clients_own_classes(
    client: openai.AsyncOpenAI, door: Door
) -> None:
    async def ask() -> None:
        await client.chat.completions.create(
            model="stori", messages=[{"role": "user", "content": "Hi"}]
        )

    door.dispatch.refusal = ModelNotFound("nobody serves 'stori'", closest=("story",))
    with pytest.raises(openai.NotFoundError) as missing:
        await ask()
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    assert "story" in missing.value.message
    door.dispatch.refusal = InvalidRequest("n is wrong", param="n")
    with pytest.raises(openai.BadRequestError) as wrong:
        await ask()
    assert wrong.value.param == "n"
    door.dispatch.refusal = Overloaded("busy", retry_after=3)
    with pytest.raises(openai.InternalServerError) as busy:
        await ask()
    assert busy.value.response.headers["retry-after"] == "3"


async def test_an_error_in_mid_stream_is_raised_by_the_client(
    client: openai.AsyncOpenAI, door: Door
) -> None:
    door.dispatch.play([Chunk("Hel"), InvalidRequest("it went wrong")])
    stream = await client.chat.completions.create(
        model="story", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    with pytest.raises(openai.APIError, match="it went wrong"):
        async for _ in stream:
            pass


async def test_breaking_off_a_stream_closes_the_run(client: openai.AsyncOpenAI, door: Door) -> None:
    door.dispatch.play([Chunk("x")] * 100_000)
    stream = await client.chat.completions.create(
        model="story", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    async for _ in stream:
        break
    await stream.close()
    await door.dispatch.runs[0].closed.wait()
