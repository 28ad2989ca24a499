"""How little is under way between a worker and its gateway."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.capability import ModelRef
from mesh.errors import LinkError
from mesh.jobs import Chunk, JobSpec, Sampling
from mesh.wire.jobs import count_tokens, encode_taken
from services.batch import MAX_BATCH, Batch, stream_for_loss
from services.window import Window

MODEL = ModelRef("m", "test", features=("resume", "logprobs", "tools", "json"))
chunks = st.builds(
    Chunk,
    text=st.text("ab", max_size=3),
    index=st.integers(0, 1),
    token_ids=st.none() | st.lists(st.integers(0, 9), max_size=12).map(tuple),
    delta=st.none() | st.just({"reasoning_content": "r"}),
    end=st.sampled_from(["", "", "", "stop"]),
)


def texts(given: list[Chunk]) -> dict[int, str]:
    found: dict[int, str] = {}
    for chunk in given:
        found[chunk.index] = found.get(chunk.index, "") + chunk.text
    return found


@given(st.lists(chunks, max_size=40))
def test_batches_change_nothing_but_the_number_of_messages(given: list[Chunk]) -> None:
    batch, sent = Batch(), []
    for chunk in given:
        sent += batch.add(chunk)
        assert sum(map(count_tokens, given)) - sum(map(count_tokens, sent)) >= 0
    rest = batch.rest()
    assert rest is None or count_tokens(rest) < MAX_BATCH
    sent += [rest] if rest else []
    assert batch.rest() is None
    assert texts(sent) == texts(given)
    for index in (0, 1):
        before = [c for c in given if c.index == index]
        after = [c for c in sent if c.index == index]
        assert [c.delta for c in after if c.delta] == [c.delta for c in before if c.delta]
        assert sum(1 for c in after if c.end) == sum(1 for c in before if c.end)
        ids = [token for c in before for token in c.token_ids or ()]
        assert [token for c in after for token in c.token_ids or ()] == ids
        known = all(c.token_ids is not None for c in before if c.text)
        assert known == all(c.token_ids is not None for c in after if c.text)


def test_tokens_are_joined() -> None:
    batch = Batch()
    sent = [out for number in range(20) for out in batch.add(Chunk("x", 0, (number,)))]
    assert [len(chunk.token_ids or ()) for chunk in sent] == [MAX_BATCH, MAX_BATCH]
    assert batch.rest() == Chunk("xxxx", 0, (16, 17, 18, 19))


@pytest.mark.parametrize(
    ("job", "streamed"),
    [
        (JobSpec("chat", "m"), True),
        (JobSpec("chat", "m", sampling=Sampling(max_tokens=33)), True),
        (JobSpec("chat", "m", sampling=Sampling(max_tokens=32)), False),
        (JobSpec("chat", "m", sampling=Sampling(max_tokens=17, n=2)), True),
        (JobSpec("chat", "m", sampling=Sampling(logprobs=1)), False),
        (JobSpec("chat", "m", needs=("tools",)), False),
        (JobSpec("chat", "m", needs=("json",)), False),
        (JobSpec("chat", "m", needs=("vision",)), False),
    ],
)
def test_whole_answers_are_run_in_pieces_where_a_loss_would_cost_much(
    job: JobSpec, streamed: bool
) -> None:
    assert stream_for_loss(job, MODEL).stream is streamed
    assert stream_for_loss(job, replace(MODEL, features=())) is job


async def test_a_window_lets_no_more_out_than_was_taken() -> None:
    inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
    window = Window(4, inbox.get)
    for _ in range(4):
        await asyncio.wait_for(window.make_room(Chunk("x")), 1.0)
    waiting = asyncio.ensure_future(window.make_room(Chunk("x", 0, (1, 2))))
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.put_nowait(encode_taken(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.put_nowait(encode_taken(2))
    await asyncio.wait_for(waiting, 1.0)


async def test_what_stays_untold_stops_nobody() -> None:
    inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
    window = Window(16, inbox.get)
    for size in (7, 15):  # the gateway tells after eight tokens
        await asyncio.wait_for(window.make_room(Chunk("x", 0, tuple(range(size)))), 1.0)


async def test_a_chunk_larger_than_the_window_goes_alone() -> None:
    inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
    window = Window(4, inbox.get)
    await asyncio.wait_for(window.make_room(Chunk("x", 0, tuple(range(9)))), 1.0)
    inbox.put_nowait(encode_taken(9))
    await asyncio.wait_for(window.make_room(Chunk("x", 0, tuple(range(9)))), 1.0)


@pytest.mark.parametrize("word", [None, b"", b"\xc1", encode_taken(99)])
async def test_a_gateway_that_makes_no_sense_gets_no_more(word: bytes | None) -> None:
    async def receive() -> bytes | None:
        return word

    window = Window(1, receive)
    await window.make_room(Chunk("x"))
    with pytest.raises(LinkError):
        await window.make_room(Chunk("x"))
