"""An answer that goes on elsewhere is the answer that would have been written here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.errors import InvalidRequest
from mesh.jobs import Chunk, Emitted, Finish, JobSpec, Sampling, Usage
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
    model: Llama, tokenizer: Tokenizer, job: JobSpec, given: tuple[Emitted, ...] = ()
) -> tuple[list[Chunk], Finish]:
    """The chunks and the end of a job that goes on after what was given out before."""
    request = read_request(replace(job, resume=given), 1)
    *chunks, finish = (event for event in write_answers(model, tokenizer, request) if event)
    assert isinstance(finish, Finish)
    return [chunk for chunk in chunks if isinstance(chunk, Chunk)], finish


def emitted(chunks: list[Chunk], choices: int = 1) -> tuple[Emitted, ...]:
    """What a client has of these chunks."""
    return tuple(
        Emitted(
            "".join(chunk.text for chunk in chunks if chunk.index == index),
            tuple(t for chunk in chunks if chunk.index == index for t in chunk.token_ids or ()),
        )
        for index in range(choices)
    )


def check_every_split(model: Llama, tokenizer: Tokenizer, job: JobSpec) -> None:
    """Break the answer after each chunk and compare what follows, chunk by chunk."""
    chunks, finish = write(model, tokenizer, job)
    for split in range(len(chunks) + 1):
        given = emitted(chunks[:split], job.sampling.n)
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
    check_every_split(model, tokenizer, replace(base, extra=penalty))


def test_every_split_of_several_choices_with_log_probabilities(
    model: Llama, tokenizer: Tokenizer
) -> None:
    sampling = Sampling(temperature=1.0, seed=5, max_tokens=5, n=3, logprobs=2)
    for kind in ("chat", "completion"):
        message = {"role": "user", "content": "ping"}
        job = JobSpec(kind, "demo", (message,), "An owl", sampling=sampling, stream=True)
        check_every_split(model, tokenizer, job)


def test_an_answer_that_was_complete_only_ends(model: Llama, tokenizer: Tokenizer) -> None:
    message = {"role": "user", "content": "ping"}
    job = JobSpec("chat", "demo", (message,), sampling=Sampling(temperature=0), stream=True)
    chunks, finish = write(model, tokenizer, job)
    (all_of_it,) = emitted(chunks)
    ids = all_of_it.token_ids or ()
    for last in (
        replace(all_of_it, token_ids=(*ids, EOS)),
        replace(all_of_it, finished=True),
        Emitted(all_of_it.text, finished=True),
        Emitted(all_of_it.text),
    ):
        assert write(model, tokenizer, job, (last,)) == ([], finish)
    assert finish.usage == Usage(finish.usage.prompt_tokens, len(ids))
    with pytest.raises(InvalidRequest, match="after the answer's end"):
        write(model, tokenizer, job, (replace(all_of_it, token_ids=(*ids, EOS, 9)),))


def test_text_alone_is_gone_on_from(model: Llama, tokenizer: Tokenizer) -> None:
    """Cut between tokens, the text leads back to the same ids and thus to the same answer."""
    message = {"role": "user", "content": "What is 3 + 4?"}
    sampling = Sampling(temperature=0, stop=("\n\nThe",), max_tokens=24)
    job = JobSpec("chat", "demo", (message,), sampling=sampling, stream=True)
    chunks, finish = write(model, tokenizer, job)
    for split in range(len(chunks) + 1):
        (given,) = emitted(chunks[:split])
        rest = write(model, tokenizer, job, (replace(given, token_ids=None),))
        assert rest == (chunks[split:], finish), split


def test_ids_ahead_of_the_text_are_caught_up_with(model: Llama, tokenizer: Tokenizer) -> None:
    """Engines send ids whose text they still hold back."""
    message = {"role": "user", "content": "Tell me a story."}
    job = JobSpec("chat", "demo", (message,), sampling=Sampling(temperature=0, max_tokens=20))
    chunks, finish = write(model, tokenizer, replace(job, stream=True))
    (whole,) = emitted(chunks)
    (six,) = emitted(chunks[:6])
    behind = Emitted(six.text[:-7], six.token_ids)
    rest, end = write(model, tokenizer, replace(job, stream=True), (behind,))
    assert behind.text + "".join(chunk.text for chunk in rest) == whole.text
    assert end == finish


def test_ids_that_do_not_lead_to_the_text_are_not_used(model: Llama, tokenizer: Tokenizer) -> None:
    message = {"role": "user", "content": "Tell me a story."}
    sampling = Sampling(temperature=0, max_tokens=20)
    job = JobSpec("chat", "demo", (message,), sampling=sampling, stream=True)
    chunks, _ = write(model, tokenizer, job)
    (six,) = emitted(chunks[:6])
    wrong = replace(six, token_ids=(9, 9, 9))
    assert write(model, tokenizer, job, (wrong,)) == write(model, tokenizer, job, (six,))


def test_what_was_shown_of_a_stop_sequence_is_not_shown_again(
    model: Llama, tokenizer: Tokenizer
) -> None:
    """Another engine held back less: its text ends where a stop sequence might have begun."""
    message = {"role": "user", "content": "Tell me a story."}
    plain = Sampling(temperature=0, max_tokens=20)
    job = JobSpec("chat", "demo", (message,), sampling=plain, stream=True)
    chunks, _ = write(model, tokenizer, job)
    (whole,) = emitted(chunks)
    for split in range(2, 9):
        shown = replace(emitted(chunks[:split])[0], token_ids=None)
        begun, at = shown.text[-2:], len(shown.text)
        met = replace(job, sampling=replace(plain, stop=(begun + whole.text[at : at + 2],)))
        rest, finish = write(model, tokenizer, met, (shown,))
        assert ("".join(chunk.text for chunk in rest), finish.reasons) == ("", ("stop",))
        missed = replace(job, sampling=replace(plain, stop=(begun + "~",)))
        rest, _ = write(model, tokenizer, missed, (shown,))
        assert shown.text + "".join(chunk.text for chunk in rest) == whole.text
