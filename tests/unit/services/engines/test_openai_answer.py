"""OpenAI answers to chunks: every shape servers send, and shapes that make no sense."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ContextTooLong, ElectronsError, EngineError
from mesh.jobs import Chunk, Finish, Usage
from services.engines.openai_answer import AnswerReader


def event(*choices: dict[str, Any], **rest: Any) -> bytes:
    return orjson.dumps({"object": "chat.completion.chunk", "choices": list(choices), **rest})


def delta(text: str | None = None, **fields: Any) -> dict[str, Any]:
    said = {} if text is None else {"content": text}
    return {"index": 0, "delta": {**said, **fields}, "finish_reason": None}


def test_the_opening_role_is_no_chunk_and_the_closing_reason_is_an_end() -> None:
    reader = AnswerReader("e", chat=True)
    assert reader.read_event(event(delta("", role="assistant"))) == []
    assert reader.read_event(event(delta("hi"))) == [Chunk("hi")]
    assert not reader.finished
    closing = {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert reader.read_event(event(closing)) == [Chunk("", end="stop")]
    assert reader.read_event(event(usage={"prompt_tokens": 1, "completion_tokens": 2})) == []
    assert reader.finish() == Finish(("stop",), Usage(1, 2))


def test_fields_of_a_delta_go_out_untouched() -> None:
    reader = AnswerReader("e", chat=True)
    calls = [{"index": 0, "function": {"arguments": "{"}}]
    read = reader.read_event(event(delta(None, tool_calls=calls, refusal=None, role="assistant")))
    assert read == [Chunk("", 0, None, {"tool_calls": calls})]
    read = reader.read_event(event(delta("a", reasoning_content="b")))
    assert read == [Chunk("a", 0, None, {"reasoning_content": "b"})]


def test_token_ids_and_logprobs_are_kept() -> None:
    reader = AnswerReader("e", chat=True)
    choice = {**delta("a"), "token_ids": [5, 6], "logprobs": {"content": []}}
    assert reader.read_event(event(choice)) == [Chunk("a", 0, (5, 6), None, {"content": []})]


def test_a_reason_may_come_with_the_last_text() -> None:
    reader = AnswerReader("e", chat=False)
    choice = {"index": 0, "text": "end", "finish_reason": "length"}
    assert reader.read_event(event(choice)) == [Chunk("end", end="length")]
    assert reader.finish().reasons == ("length",)


def test_an_empty_whole_answer_is_still_a_chunk() -> None:
    reader = AnswerReader("e", chat=True)
    message = {"role": "assistant", "content": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    assert reader.read_whole(event(choice)) == [Chunk("", end="stop")]


def test_fewer_choices_than_asked_for_are_no_answer() -> None:
    reader = AnswerReader("e", chat=True, choices=2)
    reader.read_event(event({"index": 1, "delta": {}, "finish_reason": "stop"}))
    with pytest.raises(EngineError, match="before it was complete"):
        reader.finish()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "boom", "code": 500}, EngineError),
        ("boom", EngineError),
        ({"message": "maximum context length is 10", "code": 400}, ContextTooLong),
    ],
)
def test_errors_inside_a_stream(error: object, kind: type[ElectronsError]) -> None:
    with pytest.raises(kind):
        AnswerReader("e", chat=True).read_event(orjson.dumps({"error": error}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "content", "index", "usage", "error", "text"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.booleans(), st.booleans())
def test_nonsense_is_an_error_of_ours_and_never_a_crash(
    value: object, chat: bool, whole: bool
) -> None:
    reader = AnswerReader("e", chat=chat)
    data = orjson.dumps(value)
    try:
        chunks = reader.read_whole(data) if whole else reader.read_event(data)
    except ElectronsError:
        return
    assert all(isinstance(chunk.text, str) for chunk in chunks)


@given(st.binary(max_size=50))
def test_bytes_that_are_no_json(data: bytes) -> None:
    try:
        AnswerReader("e", chat=True).read_event(data)
    except ElectronsError:
        pass
    else:
        assert isinstance(orjson.loads(data), dict)
