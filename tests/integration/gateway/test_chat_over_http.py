"""POST /v1/chat/completions and /v1/completions over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from mesh.errors import (
    ContextTooLong,
    InvalidRequest,
    JobFailed,
    ModelNotFound,
    ModelUnavailable,
    NotSupported,
    Overloaded,
)
from mesh.jobs import Chunk, Finish, Usage
from mesh.ports import Progress
from node.gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import Door, Opener
from tests.integration.gateway.twins import HELLO, WORKER

CHAT = {"model": "story", "messages": [{"role": "user", "content": "Hi"}]}


def events_of(text: str) -> tuple[list[Any], list[str]]:
    """The data payloads (parsed, but "[DONE]") and the comments of an SSE body."""
    payloads: list[Any] = []
    comments: list[str] = []
    for block in text.split("\n\n"):
        if block.startswith(":"):
            comments.append(block[1:].strip())
        elif block.startswith("data: "):
            data = block.removeprefix("data: ")
            payloads.append(data if data == "[DONE]" else orjson.loads(data))
    return payloads, comments


async def test_a_whole_answer_has_openai_shape_and_names_its_node(door: Door) -> None:
    response = await door.post("/v1/chat/completions", CHAT)
    body = await response.json()
    assert response.status == 200
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "story"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert response.headers["x-electrons-node"] == WORKER
    assert response.headers["x-electrons-queue-ms"] == "5"
    assert response.headers["x-electrons-routing-ms"] == "2"
    assert int(response.headers["openai-processing-ms"]) >= 0
    assert response.headers["server"] == "electrons"
    assert len(response.headers["x-request-id"]) == 32
    assert door.dispatch.runs[0].closed.is_set()


async def test_a_stream_has_role_first_one_id_reasons_totals_and_done(door: Door) -> None:
    response = await door.post("/v1/chat/completions", {**CHAT, "stream": True})
    payloads, comments = events_of(await response.text())
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-electrons-node"] == WORKER
    assert payloads[-1] == "[DONE]"
    chunks = payloads[:-1]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "Hello"}
    assert chunks[1]["choices"][0]["delta"] == {"content": " there"}
    assert chunks[2]["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert all("usage" not in chunk for chunk in chunks)
    assert comments == [f"electrons node={WORKER} queue_ms=5 routing_ms=2 tokens=2 attempts=1"]


async def test_the_totals_come_right_before_done(door: Door) -> None:
    response = await door.post("/v1/chat/completions", {**CHAT, "stream": True})
    blocks = (await response.text()).rstrip("\n").split("\n\n")
    assert blocks[-2].startswith(": electrons node=")
    assert blocks[-1] == "data: [DONE]"


async def test_usage_is_streamed_only_when_asked(door: Door) -> None:
    asked = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    response = await door.post("/v1/chat/completions", asked)
    payloads, _ = events_of(await response.text())
    *chunks, last, done = payloads
    assert done == "[DONE]"
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 5
    assert all(chunk["usage"] is None for chunk in chunks)


async def test_everything_unknown_reaches_the_engine_untouched(door: Door) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"x": [1]}}}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    message = {"role": "user", "content": [{"type": "text", "text": "see"}, image]}
    await door.post(
        "/v1/chat/completions",
        {
            "model": "story",
            "messages": [message],
            "tools": tools,
            "tool_choice": "auto",
            "response_format": {"type": "json_object"},
            "temperature": 0,
            "seed": 7,
            "stop": "END",
            "max_completion_tokens": 9,
            "max_tokens": 3,
            "brand_new_field": {"a": None},
        },
    )
    job = door.dispatch.jobs[0]
    assert job.messages == (message,)
    assert job.extra == {
        "tools": tools,
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "brand_new_field": {"a": None},
    }
    assert set(job.needs) == {"tools", "json", "vision"}
    assert job.sampling.temperature == 0.0
    assert (job.sampling.seed, job.sampling.stop, job.sampling.max_tokens) == (7, ("END",), 9)


async def test_tool_calls_are_joined_for_a_whole_answer(door: Door) -> None:
    def fragment(**fields: Any) -> Chunk:
        return Chunk(delta={"tool_calls": [{"index": 0, **fields}]})

    door.dispatch.play(
        [
            fragment(id="call_1", type="function", function={"name": "look", "arguments": ""}),
            fragment(function={"arguments": '{"x":'}),
            fragment(function={"arguments": "1}"}),
            Finish(("tool_calls",)),
        ]
    )
    body = await (await door.post("/v1/chat/completions", CHAT)).json()
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"x":1}'},
            }
        ],
    }


async def test_several_choices_are_kept_apart(door: Door) -> None:
    door.dispatch.play(
        [Chunk("a", 0), Chunk("x", 1), Chunk("b", 0), Finish(("stop", "length"), Usage(1, 3))]
    )
    body = await (await door.post("/v1/chat/completions", {**CHAT, "n": 2})).json()
    assert [choice["message"]["content"] for choice in body["choices"]] == ["ab", "x"]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]


async def test_completions_whole_and_streamed(door: Door) -> None:
    ask = {"model": "story", "prompt": "Once", "max_tokens": 0}
    body = await (await door.post("/v1/completions", ask)).json()
    assert body["object"] == "text_completion"
    assert body["choices"][0]["text"] == "Hello there"
    assert door.dispatch.jobs[0].sampling.max_tokens == 0
    response = await door.post("/v1/completions", {**ask, "stream": True})
    payloads, _ = events_of(await response.text())
    assert [chunk["choices"][0]["text"] for chunk in payloads[:-1]] == ["Hello", " there", ""]
    assert payloads[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("no", param="n"), 400, "invalid_request"),
        (ContextTooLong("too long"), 400, "context_length_exceeded"),
        (NotSupported("no tools here", param="tools"), 400, "not_supported"),
        (ModelNotFound("unknown model 'stori'", closest=("story",)), 404, "model_not_found"),
        (ModelUnavailable("gone"), 503, "model_unavailable"),
        (Overloaded("busy", retry_after=7), 503, "overloaded"),
        (JobFailed("all failed"), 502, "job_failed"),
        (RuntimeError("a secret inside"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_each_refusal_has_its_status_and_code(
    door: Door, error: Exception, status: int, code: str, stream: bool
) -> None:
    door.dispatch.refusal = error
    response = await door.post("/v1/chat/completions", {**CHAT, "stream": stream})
    body = await response.json()
    assert response.status == status
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["code"] == code
    assert "secret" not in body["error"]["message"]
    assert ("retry-after" in response.headers) == (code == "overloaded")
    if code == "model_not_found":
        assert "story" in body["error"]["message"]


async def test_an_error_after_the_first_byte_ends_the_stream_without_done(door: Door) -> None:
    door.dispatch.play([Chunk("Hel"), JobFailed("the worker is lost")])
    response = await door.post("/v1/chat/completions", {**CHAT, "stream": True})
    payloads, _ = events_of(await response.text())
    assert response.status == 200
    assert payloads[0]["choices"][0]["delta"]["content"] == "Hel"
    assert payloads[-1]["error"]["code"] == "job_failed"
    assert door.dispatch.runs[0].closed.is_set()


async def test_a_run_that_ends_without_finish_is_a_failure(door: Door) -> None:
    door.dispatch.play([Chunk("Hel")])
    response = await door.post("/v1/chat/completions", CHAT)
    assert response.status == 502
    assert (await response.json())["error"]["code"] == "job_failed"


async def test_silence_is_filled_with_comments(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(keep_alive_seconds=0.02))
    release = asyncio.Event()
    door.dispatch.play([release.wait, *HELLO])
    response = await door.post("/v1/chat/completions", {**CHAT, "stream": True})
    assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
    assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
    release.set()
    payloads, _ = events_of((await response.content.read()).decode())
    assert payloads[-1] == "[DONE]"


async def test_a_long_wait_in_the_queue_is_told(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(hold_seconds=0.0))
    release = asyncio.Event()
    waiting = Progress("queued", position=2, eta=3.5)
    closer = Progress("queued", position=1)
    door.dispatch.play([waiting, waiting, closer, release.wait, Progress("running"), *HELLO])
    response = await door.post("/v1/chat/completions", {**CHAT, "stream": True})
    assert await response.content.readuntil(b"\n\n") == b": queued position=2 eta_s=3.5\n\n"
    assert await response.content.readuntil(b"\n\n") == b": queued position=1\n\n"
    release.set()
    assert await response.content.readuntil(b"\n\n") == b": running\n\n"
    assert response.headers["x-electrons-node"] == WORKER


async def test_a_short_wait_is_not_told(door: Door) -> None:
    door.dispatch.play([Progress("queued", position=2), *HELLO])
    response = await door.post("/v1/chat/completions", {**CHAT, "stream": True})
    _, comments = events_of(await response.text())
    assert len(comments) == 1


async def test_the_callers_request_id_is_kept_without_what_is_unsafe(door: Door) -> None:
    headers = {"X-Request-ID": 'job 7"<>' + "x" * 500}
    response = await door.post("/v1/chat/completions", CHAT, headers=headers)
    assert response.headers["x-request-id"] == "job7" + "x" * 120


async def test_one_connection_serves_many_requests(door: Door) -> None:
    for _ in range(5):
        assert (await door.post("/v1/chat/completions", CHAT)).status == 200
        assert (await door.get("/v1/models")).status == 200
        streamed = await door.post("/v1/chat/completions", {**CHAT, "stream": True})
        assert (await streamed.text()).endswith("data: [DONE]\n\n")
