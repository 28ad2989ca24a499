"""Events to bytes: chunks, several choices, log probabilities, metrics."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import JobFailed
from mesh.jobs import Chunk, Finish, Usage
from mesh.ports import Progress
from node.gateway import sse
from node.gateway.collected import Collected
from node.gateway.http_bytes import http_chunk
from node.gateway.limits import BODY_RATE, MAX_TOOL_CALLS, body_deadline
from node.gateway.metrics import Histogram, Metrics
from node.gateway.openai_chat import ChatStream, parse_chat, render_chat
from node.gateway.openai_completions import CompletionStream, legacy_logprobs, parse_completion
from node.gateway.routes import Route, RouteTable

JOB = "0" * 32


def chat_stream(**fields: Any) -> ChatStream:
    body = {"model": 'a "quoted" name', "messages": [{"role": "user", "content": "Hi"}], **fields}
    return ChatStream(parse_chat(orjson.dumps(body)), JOB, 1)


def payload(line: bytes) -> Any:
    assert line.startswith(b"data: ")
    assert line.endswith(b"\n\n")
    assert line.count(b"\n") == 2
    return orjson.loads(line[6:])


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.booleans())
def test_text_comes_out_as_it_went_in(texts: list[str], usage: bool) -> None:
    stream = chat_stream(stream=True, stream_options={"include_usage": usage})
    chunks = [payload(stream.chunk(Chunk(text))) for text in texts]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == texts
    assert ["role" in chunk["choices"][0]["delta"] for chunk in chunks] == [
        position == 0 for position in range(len(texts))
    ]
    assert all(("usage" in chunk) == usage for chunk in chunks)
    assert len({orjson.dumps({**chunk, "choices": 0}) for chunk in chunks}) == 1


def test_each_choice_starts_with_its_role_and_ends_with_its_reason() -> None:
    stream = chat_stream(n=3)
    for index in (1, 0, 1):
        choice = payload(stream.chunk(Chunk("x", index)))["choices"][0]
        assert choice["index"] == index
    lines = stream.finish(Finish(("stop", "length", "stop"))).split(b"\n\n")[:-1]
    ends = [orjson.loads(line[6:])["choices"][0] for line in lines]
    assert [end["finish_reason"] for end in ends] == ["stop", "length", "stop"]
    # The third choice never said a word, so its role comes now.
    assert ends[2]["delta"] == {"role": "assistant", "content": ""}


def test_other_deltas_and_logprobs_pass_through() -> None:
    stream = chat_stream()
    first = payload(stream.chunk(Chunk(delta={"reasoning_content": "hm"})))
    assert first["choices"][0]["delta"] == {"role": "assistant", "reasoning_content": "hm"}
    second = payload(stream.chunk(Chunk("a", logprobs={"content": []})))
    assert second["choices"][0]["delta"] == {"content": "a"}
    assert second["choices"][0]["logprobs"] == {"content": []}


def test_completion_logprobs_keep_their_offsets_over_chunks() -> None:
    call = parse_completion(b'{"model":"m","prompt":"p","stream":true,"logprobs":1}')
    stream = CompletionStream(call, JOB, 1)
    offsets = []
    for text in ("ab", "c"):
        chunk = Chunk(text, logprobs={"content": [{"token": text, "logprob": -1}]})
        offsets += payload(stream.chunk(chunk))["choices"][0]["logprobs"]["text_offset"]
    assert offsets == [0, 2]


def test_logprobs_of_either_shape_become_legacy() -> None:
    legacy = {"tokens": ["a"], "token_logprobs": [-1.0]}
    assert legacy_logprobs(legacy) == legacy
    entry = {"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -2}]}
    assert legacy_logprobs({"content": [entry, "junk"]})["top_logprobs"] == [{"b": -2}]


def test_a_whole_answer_joins_reasoning_and_text() -> None:
    call = parse_chat(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    answer = Collected(1, logprobs=True)
    for chunk in (
        Chunk(delta={"reasoning_content": "a"}),
        Chunk(delta={"reasoning_content": "b"}),
        Chunk("c", logprobs={"content": [1]}),
        Chunk("d", logprobs={"content": [2]}),
    ):
        answer.add(chunk)
    answer.finish = Finish((), Usage(1, 2))
    choice = orjson.loads(render_chat(call, answer, JOB, 1))["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "cd", "reasoning_content": "ab"}
    assert choice["logprobs"] == {"content": [1, 2]}
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk("x", index=1),
        Chunk("x", index=-1),
        Chunk(delta={"tool_calls": ["junk"]}),
        Chunk(delta={"tool_calls": [{"index": MAX_TOOL_CALLS}]}),
        Chunk(delta={"tool_calls": [{"index": "0"}]}),
    ],
)
def test_a_worker_that_talks_nonsense_is_a_failed_job(chunk: Chunk) -> None:
    with pytest.raises(JobFailed):
        Collected(1).add(chunk)


def test_an_endless_answer_is_not_collected() -> None:
    answer = Collected(1)
    with pytest.raises(JobFailed, match="longer"):
        for _ in range(18):
            answer.add(Chunk("x" * 1024 * 1024))


def test_endless_log_probabilities_are_not_collected() -> None:
    answer = Collected(1, logprobs=True)
    chunk = Chunk(logprobs={"content": [{"token": "x" * 1024 * 1024}]})
    with pytest.raises(JobFailed, match="longer"):
        for _ in range(18):
            answer.add(chunk)


def test_log_probabilities_nobody_asked_for_are_dropped() -> None:
    answer = Collected(1)
    answer.add(Chunk("x", logprobs={"content": [1]}))
    assert [(choice.text, choice.logprobs) for choice, _ in answer.ended()] == [("x", None)]


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, 1e308])
def test_a_duration_that_is_no_number_is_shown_as_nothing(seconds: float) -> None:
    assert sse.milliseconds(seconds) == 0


def test_silence_in_a_body_is_bounded_whatever_came_before() -> None:
    assert body_deadline(10.0, BODY_RATE, now=5.0, seconds=10.0) == 11.0
    assert body_deadline(10.0, 100 * BODY_RATE, now=5.0, seconds=10.0) == 15.0


def test_comments() -> None:
    assert sse.progress(Progress("queued", 3, 1.25)) == b": queued position=3 eta_s=1.2\n\n"
    assert sse.progress(Progress("running")) == b": running\n\n"


def test_http_chunks() -> None:
    assert http_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_the_histogram_is_cumulative() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert list(histogram.lines("t")) == [
        't_bucket{le="0.1"} 2',
        't_bucket{le="1"} 3',
        't_bucket{le="+Inf"} 4',
        "t_sum 7.650000",
        "t_count 4",
    ]


def test_names_of_other_counters_are_made_valid() -> None:
    page = Metrics().render({"electrons_dht.look-ups_total": 3}).decode()
    assert "# TYPE electrons_dht_look_ups_total counter\nelectrons_dht_look_ups_total 3\n" in page


def test_routes() -> None:
    table = RouteTable([Route("GET", "/a", 1), Route("GET", "/a/", 2), Route("POST", "/a/", 3)])
    found = table.find("HEAD", "/a")
    assert found is not None
    assert found[0].handler == 1
    found = table.find("POST", "/a/b/c")
    assert found is not None
    assert (found[0].handler, found[1]) == (3, "b/c")
    assert table.find("GET", "/a/") is None
    assert table.find("DELETE", "/a") is None
    assert table.methods("/a") == ["GET", "HEAD", "OPTIONS"]
    assert table.methods("/b") == []
