"""What an engine promises with "resume": cut anywhere and resumed is the uncut answer.

At temperature 0, so that the demo model is as deterministic as the fakes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from mesh.errors import InvalidRequest
from mesh.jobs import Chunk, Emitted, JobSpec, Sampling
from tests.contract.engines.conftest import SPOILING, Answered, Served

GREEDY = Sampling(temperature=0, max_tokens=24)
CHAT = JobSpec(
    "chat",
    "m",
    ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "A story, please!"}),
    sampling=GREEDY,
    stream=True,
)
COMPLETION = JobSpec(
    "completion", "m", prompt="Once there was an owl.", sampling=GREEDY, stream=True
)
"""A prompt whose last token stays one whatever follows: Ollama counts the given tokens by reading
prompt and answer as one text."""
JOBS = pytest.mark.parametrize("job", [CHAT, COMPLETION], ids=["chat", "completion"])


def emitted(chunks: Sequence[Chunk], choices: int = 1, *, with_ids: bool = True) -> list[Emitted]:
    """What a client of these chunks has of each choice, as a gateway keeps it."""
    kept = []
    for index in range(choices):
        own = [chunk for chunk in chunks if chunk.index == index]
        told = with_ids and all(chunk.token_ids is not None for chunk in own)
        ids = tuple(token for chunk in own for token in chunk.token_ids or ()) if told else None
        text = "".join(chunk.text for chunk in own)
        kept.append(Emitted(text, ids, any(chunk.end for chunk in own)))
    return kept


async def resumed(served: Served, job: JobSpec, given: Sequence[Emitted]) -> Answered:
    return await served.run(replace(job, resume=tuple(given)))


async def check_cuts(
    served: Served, job: JobSpec, *, with_ids: bool = True, every: int = 1
) -> Answered:
    """Cut between any two chunks; text, reasons and usage must be those of the uncut answer."""
    whole = await served.run(job)
    choices = job.sampling.n
    assert all(whole.text(index) for index in range(choices))
    for cut in range(0, len(whole.chunks) + 1, every):
        given = emitted(whole.chunks[:cut], choices, with_ids=with_ids)
        rest = await resumed(served, job, given)
        for index in range(choices):
            assert given[index].text + rest.text(index) == whole.text(index), (cut, index)
            if given[index].finished:
                assert not [chunk for chunk in rest.chunks if chunk.index == index]
        assert rest.finish == whole.finish, cut
    return whole


async def test_the_model_is_said_to_be_resumable(served: Served) -> None:
    assert "resume" in served.model.features


@JOBS
async def test_cut_between_tokens(served: Served, job: JobSpec) -> None:
    whole = await check_cuts(served, job)
    assert len(whole.chunks) > 5


@JOBS
async def test_cut_between_tokens_with_text_alone(served: Served, job: JobSpec) -> None:
    await check_cuts(served, job, with_ids=False)


@JOBS
async def test_cut_at_every_character(served: Served, job: JobSpec) -> None:
    """Another engine may have cut its text into other tokens. The demo model, which then writes
    something else (docs/demo-model.md), still repeats nothing and ends properly."""
    if served.fake is not None:  # parts of tokens count as tokens
        job = replace(job, sampling=replace(GREEDY, max_tokens=240))
    text = (await served.run(job)).text()
    for cut in range(0, len(text) + 1, 1 if served.fake is not None else 5):
        rest = await resumed(served, job, [Emitted(text[:cut])])
        if served.fake is None:
            assert rest.finish.reasons[0] in ("stop", "length")
        else:
            assert text[:cut] + rest.text() == text, cut


@JOBS
async def test_limits_count_from_the_start(served: Served, job: JobSpec) -> None:
    for limit in (1, 4, 9):
        limited = replace(job, sampling=replace(job.sampling, max_tokens=limit))
        whole = await check_cuts(served, limited)
        assert whole.finish.reasons == ("length",)
        assert whole.finish.usage.completion_tokens == limit


@JOBS
async def test_without_a_limit(served: Served, job: JobSpec) -> None:
    every = 1 if served.fake is not None else 60  # the demo model's stories are long
    unlimited = replace(job, sampling=replace(job.sampling, max_tokens=None))
    await check_cuts(served, unlimited, every=every)


@JOBS
async def test_several_choices(served: Served, job: JobSpec) -> None:
    await check_cuts(served, replace(job, sampling=replace(GREEDY, n=3, max_tokens=6)))


async def test_choices_lost_at_different_places(served: Served) -> None:
    job = replace(CHAT, sampling=replace(GREEDY, n=4))
    whole = await served.run(job)
    (full, *_) = emitted([chunk for chunk in whole.chunks if chunk.index == 0])
    given = [Emitted(), *emitted([one for one in whole.chunks if one.index == 0][:5])]
    given += [replace(full, finished=True), full]
    rest = await resumed(served, job, given)
    for index, before in enumerate(given):
        assert before.text + rest.text(index) == whole.text(index), index
    assert rest.finish == whole.finish


@JOBS
async def test_stop_sequences_after_the_seam(served: Served, job: JobSpec) -> None:
    text = (await served.run(job)).text()
    stop = (text[17:21],)
    whole = await check_cuts(served, replace(job, sampling=replace(GREEDY, stop=stop)))
    assert whole.text() == text[: text.index(stop[0])]
    assert whole.finish.reasons == ("stop",)


@JOBS
async def test_stop_sequences_across_the_seam(served: Served, job: JobSpec) -> None:
    """What was begun by an engine that held nothing back ends where the sequence does."""
    plain = await served.run(job)
    text = plain.text()
    for chunks in range(3, 9):
        (given,) = emitted(plain.chunks[:chunks])
        at = len(given.text)
        if not text[at : at + 2].strip():
            continue
        met = replace(job, sampling=replace(GREEDY, stop=(text[at - 2 : at + 2],)))
        rest = await resumed(served, met, [replace(given, token_ids=None)])
        assert (rest.text(), rest.finish.reasons) == ("", ("stop",)), chunks
        missed = replace(job, sampling=replace(GREEDY, stop=(text[at - 2 : at] + "~",)))
        rest = await resumed(served, missed, [replace(given, token_ids=None)])
        assert given.text + rest.text() == text, chunks


async def test_in_one_piece_as_well(served: Served) -> None:
    job = replace(CHAT, stream=False)
    whole = await served.run(CHAT)
    for cut in (0, 1, len(whole.chunks) // 2, len(whole.chunks)):
        given = emitted(whole.chunks[:cut])
        rest = await resumed(served, job, given)
        assert given[0].text + rest.text() == whole.text()
        assert rest.finish == whole.finish


@pytest.mark.parametrize(
    "extra",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"suffix": "end"},
        {"echo": True},
    ],
    ids=["tools", "format", "suffix", "echo"],
)
async def test_answers_that_are_more_than_text_are_refused(
    served: Served, extra: dict[str, object]
) -> None:
    for job in (CHAT, COMPLETION):
        with pytest.raises(InvalidRequest):
            await resumed(served, replace(job, extra=extra), [Emitted("Once")])


async def test_a_resumption_of_another_number_of_choices_is_refused(served: Served) -> None:
    with pytest.raises(InvalidRequest):
        await resumed(served, CHAT, [Emitted("Once"), Emitted()])


@pytest.mark.parametrize("fault", SPOILING)
async def test_a_server_that_repeats_or_loses_is_found_out(
    behind_a_server: Served, fault: str
) -> None:
    """The deliberate bug: the checks above must go red for a server that echoes or strips."""
    assert behind_a_server.fake is not None
    behind_a_server.fake.knobs.update({fault: True})
    with pytest.raises(AssertionError):
        await check_cuts(behind_a_server, CHAT)
