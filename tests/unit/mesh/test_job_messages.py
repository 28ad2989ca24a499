"""Job messages survive the wire, and nothing else gets through."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import WireError
from mesh.ids import JobId, NodeId
from mesh.jobs import MAX_CHOICES, Chunk, Emitted, Finish, JobSpec, Sampling, Usage
from mesh.ports import Progress
from mesh.wire import jobs
from mesh.wire.jobs import Accept, Fail, Finished, Offer, Refuse, WorkerMessage

text = st.text(max_size=20)
word = text.filter(str.isprintable)
number = st.none() | st.integers(0, 2**31)
seconds = st.floats(0, jobs.MAX_SECONDS)
share = st.none() | st.floats(0, 2)
plain = st.dictionaries(text, text | st.integers(-5, 5) | st.none() | st.lists(text, max_size=2))
samplings = st.builds(
    Sampling,
    max_tokens=number,
    temperature=share,
    top_p=share,
    top_k=number,
    seed=number,
    stop=st.lists(text, max_size=3).map(tuple),
    n=st.integers(1, 4),
    logprobs=number,
)
specs = st.builds(
    JobSpec,
    kind=st.sampled_from(["chat", "completion"]),
    model=text,
    messages=st.lists(plain, max_size=3).map(tuple),
    prompt=text | st.lists(st.integers(0, 99), max_size=5).map(tuple),
    sampling=samplings,
    stream=st.booleans(),
    needs=st.lists(st.sampled_from(["tools", "vision"]), max_size=2).map(tuple),
    extra=plain,
)
chunks = st.builds(
    Chunk,
    text=text,
    index=st.integers(0, MAX_CHOICES - 1),
    token_ids=st.none() | st.lists(st.integers(0, jobs.MAX_TOKEN_ID), max_size=4).map(tuple),
    delta=st.none() | plain,
    logprobs=st.none() | plain,
    end=word,
)
counts = st.integers(0, jobs.MAX_COUNT)
usages = st.builds(Usage, counts, counts)
finishes = st.builds(Finish, st.lists(word, min_size=1, max_size=3).map(tuple), usages)
messages: st.SearchStrategy[WorkerMessage] = st.one_of(
    chunks,
    st.builds(Accept, counts, counts, counts),
    st.builds(Refuse, word, word, seconds, st.none() | word),
    st.builds(Fail, word, word, st.booleans(), st.none() | word),
    st.builds(Progress, st.sampled_from(["queued", "running"]), counts, st.none() | seconds),
    st.builds(Finished, finishes, seconds, seconds, st.none() | chunks),
)


def offer_of(job: JobSpec) -> Offer:
    origin = NodeId("a" * 40)
    return Offer(JobId("0" * 32), 1, origin, "tenant", "public", 0, 30.0, 1, job)


@given(specs)
def test_an_offer_survives_the_wire(job: JobSpec) -> None:
    data, body = jobs.encode_offer(offer_of(job))
    assert body == b""
    assert jobs.decode_offer(data) == offer_of(job)


@given(messages)
def test_what_a_worker_says_survives_the_wire(message: WorkerMessage) -> None:
    assert jobs.decode(jobs.encode(message)) == message


@pytest.mark.parametrize(
    "job",
    [
        JobSpec("chat", "m", ({"role": "user", "content": "x" * 200_000},)),
        JobSpec("completion", "m", prompt=tuple(range(20_000))),
        JobSpec("chat", "m", resume=(Emitted("x" * 200_000),)),
        JobSpec("chat", "m", resume=(Emitted("x", tuple(range(20_000))),)),
    ],
)
def test_a_large_job_follows_in_parts(job: JobSpec) -> None:
    data, body = jobs.encode_offer(offer_of(job))
    head = jobs.decode_offer(data)
    assert len(data) <= jobs.MAX_OFFER
    assert head.job == replace(job, messages=(), prompt="", resume=())
    parts = list(jobs.split_body(body))
    assert all(len(part) <= jobs.MAX_OFFER for part in parts)
    whole = b"".join(jobs.decode_body_part(part) for part in parts)
    assert len(whole) == head.body_size
    assert jobs.decode_job(whole) == job


def test_a_resumed_job_survives_the_wire() -> None:
    starts = (Emitted("abc", (1, 2, 3)), Emitted("whole", None, finished=True))
    job = JobSpec("chat", "m", sampling=Sampling(n=2), needs=("resume",), resume=starts)
    data, body = jobs.encode_offer(offer_of(job))
    assert body == b""
    assert jobs.decode_offer(data).job == job


@pytest.mark.parametrize(
    "resume", [(Emitted(), Emitted()), (Emitted("x" * (jobs.MAX_RESUMED + 1)),)]
)
def test_a_body_that_resumes_what_cannot_be_is_refused(resume: tuple[Emitted, ...]) -> None:
    job = JobSpec("chat", "m", prompt="x" * jobs.MAX_OFFER, resume=resume)
    _, body = jobs.encode_offer(offer_of(job))
    with pytest.raises(WireError):
        jobs.decode_job(body)


def test_a_job_beyond_the_limit_is_refused_by_the_sender() -> None:
    with pytest.raises(WireError):
        jobs.encode_offer(offer_of(JobSpec("completion", "m", prompt="x" * jobs.MAX_BODY)))


def fields_of(**changes: Any) -> bytes:
    data, _ = jobs.encode_offer(offer_of(JobSpec("chat", "m")))
    fields = msgpack.unpackb(data)
    fields[1].update(changes)
    packed: bytes = msgpack.packb(fields)
    return packed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb("offer"),
        msgpack.packb([jobs.OFFER]),
        msgpack.packb([jobs.CHUNK, 0]),
        fields_of(privacy="none"),
        fields_of(job=None),
        fields_of(job={"kind": "video", "model": "m"}),
        fields_of(body_size=-1),
        fields_of(body_size=jobs.MAX_BODY + 1),
        fields_of(hops="many"),
        fields_of(hops=-1),
        fields_of(hops=jobs.MAX_HOPS_READ + 1),
        fields_of(job_id="0" * 31),
        fields_of(job_id="A" * 32),
        fields_of(job_id="0" * 32 + "\n"),
        fields_of(origin="a" * 39),
        fields_of(origin="g" * 40),
        fields_of(tenant="t" * (jobs.MAX_TENANT + 1)),
        fields_of(tenant="a\nb"),
        fields_of(attempt=-1),
        fields_of(attempt=jobs.MAX_ATTEMPT + 1),
        fields_of(priority=jobs.MAX_PRIORITY + 1),
        fields_of(priority=-jobs.MAX_PRIORITY - 1),
        fields_of(deadline=0.0),
        fields_of(deadline=math.inf),
        fields_of(deadline=math.nan),
        fields_of(deadline=2e9),
        fields_of(job={"kind": "chat", "model": "m", "resume": [{}, {}]}),
        fields_of(job={"kind": "chat", "model": "m", "resume": [{"text": "x" * 1_100_000}]}),
        fields_of(job={"kind": "chat", "model": "m", "resume": [{"token_ids": [-1]}]}),
        fields_of(job={"kind": "chat", "model": "m", "resume": [{"token_ids": [2**40]}]}),
        fields_of(job={"kind": "chat", "model": "m", "resume": "x"}),
        msgpack.packb([jobs.OFFER, {"x": list(range(20_000))}]),
    ],
)
def test_what_is_no_offer_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        jobs.decode_offer(data)


def test_what_a_newer_node_adds_is_ignored() -> None:
    newer = fields_of(colour="red")
    assert jobs.decode_offer(newer) == offer_of(JobSpec("chat", "m"))
    accept = msgpack.packb([jobs.ACCEPT, 1, 2, 3, "more"])
    assert jobs.decode(accept) == Accept(1, 2, 3)


@pytest.mark.parametrize(
    "message",
    [
        [jobs.CHUNK, -1, "text", None, None, None],
        [jobs.CHUNK, 0, 5, None, None, None],
        [jobs.CHUNK, 0, "text", None, "delta", None],
        [jobs.CHUNK, 0, "text", ["x"], None, None],
        [jobs.FINISH, ["stop"], [1], 0.0, 0.0],
        [jobs.CHUNK, MAX_CHOICES, "text", None, None, None],
        [jobs.CHUNK, True, "text", None, None, None],
        [jobs.CHUNK, 0, "text", [True], None, None],
        [jobs.CHUNK, 0, "text", [1.0], None, None],
        [jobs.CHUNK, 0, "text", [-1], None, None],
        [jobs.CHUNK, 0, "text", [jobs.MAX_TOKEN_ID + 1], None, None],
        [jobs.CHUNK, 0, "text", "12", None, None],
        [jobs.FINISH, ["stop"], [-1, 1], 0.0, 0.0],
        [jobs.FINISH, ["stop"], [math.inf, 1], 0.0, 0.0],
        [jobs.FINISH, ["stop"], [1, jobs.MAX_COUNT + 1], 0.0, 0.0],
        [jobs.FINISH, ["stop"], [1, 1], math.nan, 0.0],
        [jobs.FINISH, ["stop"], [1, 1], 0.0, math.inf],
        [jobs.FINISH, ["stop"], [1, 1], 0.0, -1.0],
        [jobs.FINISH, ["stop"] * (MAX_CHOICES + 1), [1, 1], 0.0, 0.0],
        [jobs.FINISH, [None], [1, 1], 0.0, 0.0],
        [jobs.FINISH, ["stop"], [1, 1], 0.0, 0.0, [jobs.CHUNK, 99, "text", None, None, None]],
        [jobs.ACCEPT, math.inf, 2, 3],
        [jobs.ACCEPT, 1, -2, 3],
        [jobs.ACCEPT, 1, 2, True],
        [jobs.PROGRESS, True, math.nan, None],
        [jobs.PROGRESS, True, -1, None],
        [jobs.PROGRESS, True, 0, math.inf],
        [jobs.PROGRESS, True, 0, True],
        [jobs.REFUSE, "busy", "full", math.inf, None],
        [jobs.REFUSE, "busy", "full", 1e10, None],
        [jobs.REFUSE, ["busy"], "full", 0.0, None],
        [jobs.FAIL, "engine_failed", {}, False, None],
        [jobs.ACCEPT, "one", 2, 3],
        [99, 0],
        ["chunk", 0],
    ],
)
def test_malformed_worker_messages_are_refused(message: list[Any]) -> None:
    with pytest.raises(WireError):
        jobs.decode(msgpack.packb(message))


@pytest.mark.parametrize("number", [jobs.REFUSE, jobs.FAIL])
def test_the_words_of_a_worker_are_fit_for_a_log(number: int) -> None:
    forged = "bad\n2024 ERROR \x1b[31mforged\u202e"
    data = msgpack.packb([number, "bu\r\nsy", forged, 0.0, "mo\0del"])
    message = jobs.decode(data)
    assert isinstance(message, Refuse | Fail)
    assert message.code == "busy"
    assert message.reason == "bad2024 ERROR [31mforged"
    assert message.param == "model"


def test_long_words_of_a_worker_are_cut() -> None:
    message = jobs.decode(msgpack.packb([jobs.REFUSE, "c" * 999, "r" * 999, 0, "p" * 999]))
    assert message == Refuse("c" * jobs.MAX_CODE, "r" * jobs.MAX_REASON, 0.0, "p" * jobs.MAX_PARAM)
