"""A streamed answer, line by line."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.cli.answer_stream import Broken, Counted, Ended, Text, Waiting, read_events


def data(**value: Any) -> str:
    return "data: " + json.dumps(value)


def piece(text: str | None, reason: str | None = None) -> str:
    return data(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": reason}])


def test_a_whole_answer() -> None:
    lines = [
        ": queued position=2 eta_s=1.5", "", ": running", "",
        data(choices=[{"delta": {"role": "assistant", "content": ""}}]), "",
        piece("Once"), "", ": keep-alive", "", piece(" upon"), "", piece(None, "length"), "",
        data(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2}), "",
        ": electrons node=ab queue_ms=1", "", "data: [DONE]", "", piece("after the end"),
    ]  # fmt: skip
    assert list(read_events(lines)) == [
        Waiting(2), Text("Once"), Text(" upon"), Ended("length"), Counted(9, 2),
    ]  # fmt: skip


def test_an_error_in_the_middle_ends_it() -> None:
    error = data(error={"code": "job_failed", "message": "every candidate failed"})
    assert list(read_events([piece("Once"), error, piece("more")])) == [
        Text("Once"),
        Broken("job_failed", "every candidate failed"),
    ]


def test_an_answer_without_an_end_is_broken() -> None:
    *_, last = read_events([piece("Once")])
    assert isinstance(last, Broken)
    assert "before the answer was complete" in last.message


def test_a_line_that_is_not_json_is_broken() -> None:
    assert [type(event) for event in read_events(["data: {", "data: [DONE]"])] == [Broken]


@given(st.lists(st.text(max_size=30) | st.text(max_size=20).map("data: ".__add__)))
def test_no_line_is_too_odd(lines: list[str]) -> None:
    list(read_events(lines))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "content", "usage", "error", "message"]), inner
        )
    ),
)


@given(JSON)
def test_no_payload_is_too_odd(value: Any) -> None:
    list(read_events(["data: " + json.dumps(value), "data: [DONE]"]))
