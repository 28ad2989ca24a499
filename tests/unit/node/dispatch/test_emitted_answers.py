"""What is kept of an answer, and what that allows when its worker is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.capability import ModelRef
from mesh.errors import WireError
from mesh.jobs import Chunk, Emitted, Finish, JobSpec, Sampling
from mesh.resuming import bound_by, same_weights
from node.dispatch.emitted import MAX_KEPT, Answer, decide_recovery

DEMO = ModelRef("m", "demo", digest="d", features=("resume",))
VLLM = replace(DEMO, engine="vllm")
JOB = JobSpec("chat", "m")
TEXT_PARTS = ({"role": "user", "content": [{"type": "text", "text": "Hi"}]},)
SOUND = (*TEXT_PARTS, {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]})
TOKENS = st.lists(st.tuples(st.text(max_size=4), st.integers(0, 2**32)), max_size=30)


def answer_of(*chunks: Chunk, n: int = 1) -> Answer:
    answer = Answer(n)
    for chunk in chunks:
        answer.add(chunk)
    return answer


@given(TOKENS, st.lists(st.integers(1, 5), max_size=30))
def test_what_was_given_out_does_not_depend_on_how_it_was_cut(
    tokens: list[tuple[str, int]], cuts: list[int]
) -> None:
    answer, start = Answer(1), 0
    for size in [*cuts, len(tokens)]:
        piece = tokens[start : start + size]
        start += size
        if piece:
            text = "".join(text for text, _ in piece)
            answer.add(Chunk(text, 0, tuple(token for _, token in piece)))
    text = "".join(text for text, _ in tokens)
    assert answer.emitted() == (Emitted(text, tuple(token for _, token in tokens)),)


def test_choices_are_kept_apart_and_ids_only_where_all_are_known() -> None:
    answer = answer_of(
        Chunk("a", 0, (1,)), Chunk("b", 1, (2,)), Chunk("c", 1), Chunk("d", 0, (3,)), n=3
    )
    assert answer.emitted() == (Emitted("ad", (1, 3)), Emitted("bc", None), Emitted("", ()))
    assert not answer.in_tokens


def test_text_of_ids_that_came_before_leaves_them_known() -> None:
    answer = answer_of(Chunk("", 0, (1,)), Chunk("\N{SNOWMAN}", 0, ()))
    assert answer.emitted() == (Emitted("\N{SNOWMAN}", (1,)),)


@pytest.mark.parametrize("chunk", [Chunk("x", 1), Chunk("x", -1)])
def test_a_choice_nobody_asked_for_makes_no_sense(chunk: Chunk) -> None:
    with pytest.raises(WireError):
        answer_of(chunk)


def test_nothing_comes_after_the_end_of_a_choice() -> None:
    answer = answer_of(Chunk("x", 0, end="length"), n=2)
    with pytest.raises(WireError):
        answer.add(Chunk("y", 0))
    answer.add(Chunk("y", 1))
    assert [emitted.finished for emitted in answer.emitted()] == [True, False]
    assert answer.complete(Finish(("stop", "tool_calls"))).reasons == ("length", "tool_calls")
    assert answer.complete(Finish(())).reasons == ("length", "stop")


def test_the_ends_that_a_worker_tells_stand_where_none_were_marked() -> None:
    finish = Finish(("length",))
    assert answer_of(Chunk("x")).complete(finish) is finish


@pytest.mark.parametrize(
    ("chunks", "job", "model", "expected"),
    [
        ([], JOB, VLLM, "restart"),
        ([Chunk("", 0)], JOB, VLLM, "restart"),
        ([Chunk("", 0, (7,))], JOB, VLLM, "restart"),
        ([Chunk("x")], JOB, VLLM, "resume"),
        ([Chunk("x")], replace(JOB, needs=("tools",)), VLLM, "fail"),
        ([Chunk("x"), Chunk(delta={"tool_calls": [{}]})], JOB, VLLM, "fail"),
        ([Chunk(delta={"reasoning_content": "hm"})], JOB, VLLM, "fail"),
        ([Chunk("{")], replace(JOB, needs=("json",)), VLLM, "fail"),
        ([], replace(JOB, needs=("json",)), VLLM, "restart"),
        ([Chunk("x")], replace(JOB, needs=("vision",)), VLLM, "fail"),
        ([Chunk("x", 0, (1,))], replace(JOB, needs=("vision",)), DEMO, "fail"),
        ([], replace(JOB, needs=("vision",)), VLLM, "restart"),
        ([Chunk("x")], replace(JOB, messages=SOUND), VLLM, "fail"),
        ([Chunk("x")], replace(JOB, messages=TEXT_PARTS), VLLM, "resume"),
        ([Chunk("x" * (MAX_KEPT + 1))], JOB, VLLM, "fail"),
        ([Chunk("x" * MAX_KEPT)], JOB, VLLM, "resume"),
        ([Chunk("x")], replace(JOB, sampling=Sampling(logprobs=0)), VLLM, "fail"),
        ([Chunk("x", 0, (1,))], replace(JOB, sampling=Sampling(logprobs=0)), VLLM, "fail"),
        ([Chunk("x", 0, (1,))], replace(JOB, sampling=Sampling(logprobs=0)), DEMO, "resume"),
        ([Chunk("x")], replace(JOB, sampling=Sampling(logprobs=0)), DEMO, "fail"),
    ],
)
def test_what_to_do_when_the_worker_is_lost(
    chunks: list[Chunk], job: JobSpec, model: ModelRef, expected: str
) -> None:
    recovery, reason = decide_recovery(job, model, answer_of(*chunks))
    assert recovery == expected
    assert bool(reason) == (expected != "resume")


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({}, ""),
        ({"user": "me", "tools": [{}], "logit_bias": {}}, ""),
        ({"response_format": {"type": "text"}, "echo": False, "best_of": 1}, ""),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": "auto"}, ""),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"grammar": "root ::= x"}, "grammar"),
        ({"structured_outputs": {"regex": "x"}}, "structured_outputs"),
        ({"best_of": 3}, "best_of"),
    ],
)
def test_fields_that_bind_the_whole_answer(extra: dict[str, Any], field: str) -> None:
    assert bound_by(replace(JOB, extra=extra)) == field


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (DEMO, True),
        (replace(DEMO, engine="llama.cpp", context=9), True),
        (replace(DEMO, digest="e"), False),
        (replace(DEMO, digest=""), False),
        (replace(DEMO, quantisation="q4"), False),
        (replace(DEMO, name="n"), False),
    ],
)
def test_only_the_same_weights_are_the_same(other: ModelRef, same: bool) -> None:
    assert same_weights(DEMO, other) is same
    assert same_weights(other, DEMO) is same


def test_of_unknown_weights_the_engine_has_to_be_the_same() -> None:
    unknown = replace(DEMO, digest="")
    assert same_weights(unknown, replace(unknown, features=()))
    assert not same_weights(unknown, replace(unknown, engine="vllm"))
