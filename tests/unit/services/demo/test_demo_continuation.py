"""An answer that goes on elsewhere is the answer that would have been written here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.errors import InvalidRequest
from mesh.jobs import Chunk, Finish, JobSpec, Sampling, Usage
from services.engines.demo.answer import write_answers
from services.engines.demo.corpus import make_documents
from services.engines.demo.model import Llama
from services.engines.demo.request import read_request
from services.engines.demo.tokenizer import EOS, Tokenizer

PROMPTS, PARTS = 200, 5
SHORT, LONG = 6, 90
"""Tokens of the many short answers, and of the one that crosses blocks of the cache."""


def make_prompts(count: int) -> list[str]:
    """Questions as the corpus asks them."""
    documents = (d for d in make_documents(99, 10 * count) if d.exchanges)
    return [next(documents).exchanges[0][0] for _ in range(count)]


def write(
    model: Llama, tokenizer: Tokenizer, job: JobSpec, given: tuple[int, ...] = ()
) -> tuple[list[Chunk], Finish]:
    """The chunks and the end of a job that goes on after the ids given out before."""
    job = replace(job, extra={"continue_token_ids": list(given)})
    *chunks, finish = (e for e in write_answers(model, tokenizer, read_request(job, 1)) if e)
    assert isinstance(finish, Finish)
    return [chunk for chunk in chunks if isinstance(chunk, Chunk)], finish


def check_every_split(model: Llama, tokenizer: Tokenizer, job: JobSpec) -> None:
    """Break the answer after each chunk and compare what follows, chunk by chunk."""
    chunks, finish = write(model, tokenizer, job)
    for split in range(len(chunks) + 1):
        given = tuple(token for chunk in chunks[:split] for token in chunk.token_ids or ())
        assert write(model, tokenizer, job, given) == (chunks[split:], finish), (job, split)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(temperature=1.0, seed=77)])
def test_every_split_of_200_prompts(
    model: Llama, tokenizer: Tokenizer, sampling: Sampling, part: int
) -> None:
    prompts = make_prompts(PROMPTS)
    assert len(set(prompts)) > PROMPTS / 2
    for prompt in prompts[part::PARTS]:
        short = replace(sampling, max_tokens=SHORT)
        message = {"role": "user", "content": prompt}
        job = JobSpec("chat", "demo", (message,), sampling=short, stream=True)
        check_every_split(model, tokenizer, job)


def test_every_split_of_a_long_answer(model: Llama, tokenizer: Tokenizer) -> None:
    sampling = Sampling(temperature=1.0, seed=3, max_tokens=LONG)
    job = JobSpec("completion", "demo", prompt="Once upon a time", sampling=sampling, stream=True)
    check_every_split(model, tokenizer, job)


def test_every_split_with_stop_sequence_and_held_back_text(
    tiny_model: Llama, tiny_tokenizer: Tokenizer
) -> None:
    """Noise of a random model: broken UTF-8, and ends that may be the start of a stop sequence."""
    for seed in range(12):
        plain = Sampling(temperature=1.0, seed=seed, max_tokens=24)
        job = JobSpec("completion", "demo", prompt="x", sampling=plain, stream=True)
        text = "".join(chunk.text for chunk in write(tiny_model, tiny_tokenizer, job)[0])
        for stop in ((), (text[8:11],), (text[-2:] + "?",), (text[3:5], text[6:9])):
            check_every_split(
                tiny_model, tiny_tokenizer, replace(job, sampling=replace(plain, stop=stop))
            )


def test_penalties_remember_what_was_given_out(model: Llama, tokenizer: Tokenizer) -> None:
    message = {"role": "user", "content": "Tell me a story."}
    sampling = Sampling(temperature=0, max_tokens=12)
    base = JobSpec("chat", "demo", (message,), sampling=sampling, stream=True)
    penalty = {"frequency_penalty": 2.0, "presence_penalty": 2.0}
    whole = list(write_answers(model, tokenizer, read_request(replace(base, extra=penalty), 1)))
    chunks = [event for event in whole if isinstance(event, Chunk)]
    given = [token for chunk in chunks[:5] for token in chunk.token_ids or ()]
    extra = {**penalty, "continue_token_ids": given}
    rest = write_answers(model, tokenizer, read_request(replace(base, extra=extra), 1))
    assert [event for event in rest if isinstance(event, Chunk)] == chunks[5:]


def test_an_answer_that_was_complete_only_ends(model: Llama, tokenizer: Tokenizer) -> None:
    message = {"role": "user", "content": "ping"}
    job = JobSpec("chat", "demo", (message,), sampling=Sampling(temperature=0), stream=True)
    chunks, finish = write(model, tokenizer, job)
    given = tuple(token for chunk in chunks for token in chunk.token_ids or ())
    assert write(model, tokenizer, job, (*given, EOS)) == ([], finish)
    assert finish.usage == Usage(finish.usage.prompt_tokens, len(given))
    with pytest.raises(InvalidRequest, match="after the answer's end"):
        write(model, tokenizer, job, (*given, EOS, 9))
