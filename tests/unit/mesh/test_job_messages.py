"""Job messages survive the wire, and nothing else gets through."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import WireError
from mesh.ids import JobId, NodeId
from mesh.jobs import Chunk, Finish, JobSpec, Sampling, Usage
from mesh.ports import Progress
from mesh.wire import jobs
from mesh.wire.jobs import Accept, Fail, Finished, Offer, Refuse, WorkerMessage

text = st.text(max_size=20)
number = st.none() | st.integers(0, 2**31)
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
    index=st.integers(0, 15),
    token_ids=st.none() | st.lists(st.integers(0, 2**31), max_size=4).map(tuple),
    delta=st.none() | plain,
    logprobs=st.none() | plain,
)
usages = st.builds(Usage, st.integers(0, 2**31), st.integers(0, 2**31))
finishes = st.builds(Finish, st.lists(text, min_size=1, max_size=3).map(tuple), usages)
messages: st.SearchStrategy[WorkerMessage] = st.one_of(
    chunks,
    st.builds(Accept, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    st.builds(Refuse, text, text, st.floats(0, 9), st.none() | text),
    st.builds(Fail, text, text, st.booleans(), st.none() | text),
    st.builds(Progress, st.sampled_from(["queued", "running"]), st.integers(0, 9), share),
    st.builds(Finished, finishes, st.floats(0, 9), st.floats(0, 9), st.none() | chunks),
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
    ],
)
def test_a_large_job_follows_in_parts(job: JobSpec) -> None:
    data, body = jobs.encode_offer(offer_of(job))
    head = jobs.decode_offer(data)
    assert len(data) <= jobs.MAX_OFFER
    assert head.job == replace(job, messages=(), prompt="")
    parts = list(jobs.split_body(body))
    assert all(len(part) <= jobs.MAX_OFFER for part in parts)
    whole = b"".join(jobs.decode_body_part(part) for part in parts)
    assert len(whole) == head.body_size
    assert jobs.decode_job(whole) == job


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
        [jobs.ACCEPT, "one", 2, 3],
        [99, 0],
        ["chunk", 0],
    ],
)
def test_malformed_worker_messages_are_refused(message: list[Any]) -> None:
    with pytest.raises(WireError):
        jobs.decode(msgpack.packb(message))
