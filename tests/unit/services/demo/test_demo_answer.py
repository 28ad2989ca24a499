from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from mesh.errors import ContextTooLong, InvalidRequest
from mesh.jobs import Chunk, Emitted, Finish, JobSpec, Sampling
from services.engines.demo.answer import write_answers
from services.engines.demo.model import Llama
from services.engines.demo.request import read_request
from services.engines.demo.tokenizer import BOS, EOS, Tokenizer
from services.engines.pieces import PIECE_CHUNKS

STORY = ({"role": "user", "content": "Tell me a story about an owl."},)


class Answered:
    """What one job gave."""

    def __init__(self, model: Llama, tokenizer: Tokenizer, job: JobSpec) -> None:
        events = list(write_answers(model, tokenizer, read_request(job, 1)))
        self.chunks = [event for event in events if isinstance(event, Chunk)]
        assert isinstance(events[-1], Finish)
        self.finish = events[-1]
        assert sum(isinstance(event, Finish) for event in events) == 1

    def text(self, index: int = 0) -> str:
        return "".join(chunk.text for chunk in self.chunks if chunk.index == index)

    def ids(self, index: int = 0) -> list[int]:
        return [t for c in self.chunks if c.index == index for t in c.token_ids or ()]


def chat(
    sampling: Sampling,
    *,
    stream: bool = True,
    messages: tuple[Mapping[str, Any], ...] = STORY,
    **extra: Any,
) -> JobSpec:
    return JobSpec("chat", "demo", messages, sampling=sampling, stream=stream, extra=extra)


def test_usage_counts_prompt_and_answer(model: Llama, tokenizer: Tokenizer) -> None:
    answered = Answered(model, tokenizer, chat(Sampling(temperature=0, max_tokens=9)))
    prompt = [BOS, 2, *tokenizer.encode("Tell me a story about an owl."), EOS, 3]
    assert answered.finish.usage.prompt_tokens == len(prompt)
    assert answered.finish.usage.completion_tokens == 9 == len(answered.ids())
    assert answered.finish.reasons == ("length",)


def test_no_tokens_asked_no_tokens_given(model: Llama, tokenizer: Tokenizer) -> None:
    answered = Answered(model, tokenizer, chat(Sampling(max_tokens=0)))
    assert answered.chunks == []
    assert answered.finish.reasons == ("length",)
    assert answered.finish.usage.completion_tokens == 0


def test_the_same_seed_writes_the_same_and_another_does_not(
    model: Llama, tokenizer: Tokenizer
) -> None:
    texts = [
        Answered(model, tokenizer, chat(Sampling(temperature=1, seed=seed, max_tokens=40))).text()
        for seed in (5, 5, 6)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_each_choice_is_its_own_draw_and_all_are_counted(
    model: Llama, tokenizer: Tokenizer
) -> None:
    sampling = Sampling(temperature=1, seed=5, max_tokens=30, n=3)
    answered = Answered(model, tokenizer, chat(sampling))
    assert len({answered.text(index) for index in range(3)}) == 3
    assert len(answered.finish.reasons) == 3
    counted = sum(len(answered.ids(index)) for index in range(3))
    assert answered.finish.usage.completion_tokens == counted
    alone = Answered(model, tokenizer, chat(Sampling(temperature=1, seed=5, max_tokens=30)))
    assert alone.text() == answered.text(0)


@pytest.mark.parametrize(("start", "length"), [(0, 1), (3, 1), (11, 2), (30, 9), (57, 25)])
def test_the_text_ends_before_the_stop_sequence(
    model: Llama, tokenizer: Tokenizer, start: int, length: int
) -> None:
    whole = Answered(model, tokenizer, chat(Sampling(temperature=0))).text()
    stop = whole[start : start + length]
    assert len(stop) == length
    cut = Answered(model, tokenizer, chat(Sampling(temperature=0, stop=(stop, "never there"))))
    assert cut.text() == whole[: whole.index(stop)]
    assert cut.finish.reasons == ("stop",)


def test_answers_in_pieces_are_the_same_answers(model: Llama, tokenizer: Tokenizer) -> None:
    sampling = Sampling(temperature=1, seed=2, n=2, logprobs=1)
    fine = Answered(model, tokenizer, chat(sampling))
    coarse = Answered(model, tokenizer, chat(sampling, stream=False))
    for index in range(2):
        assert coarse.text(index) == fine.text(index)
        assert coarse.ids(index) == fine.ids(index)
    assert max(len(chunk.token_ids or ()) for chunk in coarse.chunks) == PIECE_CHUNKS
    joined = [entry for chunk in coarse.chunks for entry in (chunk.logprobs or {})["content"]]
    single = [entry for chunk in fine.chunks for entry in (chunk.logprobs or {})["content"]]
    assert joined == single


def test_chat_logprobs_have_the_shape_clients_expect(model: Llama, tokenizer: Tokenizer) -> None:
    answered = Answered(model, tokenizer, chat(Sampling(temperature=0, logprobs=3, max_tokens=5)))
    for chunk in answered.chunks:
        (entry,) = (chunk.logprobs or {})["content"]
        assert entry["token"] == tokenizer.token_name((chunk.token_ids or ())[0])
        assert bytes(entry["bytes"]) == tokenizer.token_bytes((chunk.token_ids or ())[0])
        top = [other["logprob"] for other in entry["top_logprobs"]]
        assert len(top) == 3
        assert top == sorted(top, reverse=True)
        assert entry["logprob"] == top[0]
        assert math.exp(top[0]) <= 1


def test_completion_logprobs_have_their_own_shape(model: Llama, tokenizer: Tokenizer) -> None:
    sampling = Sampling(temperature=0, logprobs=2, max_tokens=6)
    job = JobSpec("completion", "demo", prompt="Once upon a", sampling=sampling, stream=True)
    answered = Answered(model, tokenizer, job)
    text = answered.text()
    for chunk in answered.chunks:
        logprobs = chunk.logprobs or {}
        (token,), (offset,) = logprobs["tokens"], logprobs["text_offset"]
        assert text[offset:].startswith(token)
        assert len(logprobs["top_logprobs"][0]) == 2
        assert logprobs["token_logprobs"][0] == logprobs["top_logprobs"][0][token]


def test_a_completion_goes_on_from_text_or_ids_alike(model: Llama, tokenizer: Tokenizer) -> None:
    sampling = Sampling(temperature=0, max_tokens=12)
    text = "Once upon a time there was"
    ids = (BOS, *tokenizer.encode(text))
    by_text = Answered(
        model, tokenizer, JobSpec("completion", "demo", prompt=text, sampling=sampling)
    )
    by_ids = Answered(
        model, tokenizer, JobSpec("completion", "demo", prompt=ids, sampling=sampling)
    )
    assert by_text.text() == by_ids.text() != ""


def test_a_prompt_as_long_as_the_context_is_refused_in_words(
    model: Llama, tokenizer: Tokenizer
) -> None:
    for length in (512, 2000):
        job = JobSpec("completion", "demo", prompt=(9,) * length)
        with pytest.raises(ContextTooLong, match=f"512 tokens, but the request alone has {length}"):
            list(write_answers(model, tokenizer, read_request(job, 1)))


def test_an_answer_ends_where_the_context_does(model: Llama, tokenizer: Tokenizer) -> None:
    sampling = Sampling(temperature=0, max_tokens=4000)
    bias = {"logit_bias": {str(EOS): -100}}
    job = JobSpec("completion", "demo", prompt=(9,) * 500, sampling=sampling, extra=bias)
    answered = Answered(model, tokenizer, job)
    assert len(answered.ids()) == 12
    assert answered.finish.reasons == ("length",)


def test_ids_outside_the_vocabulary_are_refused(model: Llama, tokenizer: Tokenizer) -> None:
    job = JobSpec("completion", "demo", prompt=(tokenizer.size,))
    with pytest.raises(InvalidRequest, match="from 0 to 1023"):
        list(write_answers(model, tokenizer, read_request(job, 1)))


def test_noise_never_breaks_a_character(tiny_model: Llama, tiny_tokenizer: Tokenizer) -> None:
    """The random model writes bytes of all kinds; whatever is valid among them comes out whole."""
    for seed in range(20):
        sampling = Sampling(temperature=1, seed=seed, max_tokens=100)
        job = chat(sampling, messages=({"role": "user", "content": "x"},))
        answered = Answered(tiny_model, tiny_tokenizer, job)
        data = b"".join(tiny_tokenizer.token_bytes(token) for token in answered.ids())
        assert data.decode("utf-8", "replace").startswith(answered.text())
        assert all(len(chunk.text.encode()) <= 12 for chunk in answered.chunks)


def test_a_character_of_several_tokens_comes_whole_or_not_at_all(
    model: Llama, tokenizer: Tokenizer
) -> None:
    owl = tokenizer.encode("🦉")
    assert len(owl) > 1, "the tokenizer has no owl; its bytes are tokens"

    def force(token: int, given: list[int]) -> str:
        """The text of one more token, chosen by bias."""
        extra = {"logit_bias": {str(token): 1000}}
        sampling = Sampling(max_tokens=len(given) + 1)
        resume = (Emitted("", tuple(given)),)
        job = JobSpec(
            "completion", "demo", prompt="An ", sampling=sampling, extra=extra, resume=resume
        )
        return Answered(model, tokenizer, job).text()

    assert force(owl[-1], owl[:-1]) == "🦉"
    assert force(owl[0], []) == ""
