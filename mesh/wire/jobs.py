"""Messages on a JOB stream.

The gateway sends one Offer; the worker answers Refuse, or accepts: by Accept, or simply by going
on. What goes on is Progress and Chunk, then one Finish or Fail. The gateway cancels by resetting
the stream with RESET_CANCELLED.
A job of more than MAX_OFFER bytes is offered as a head without content and `body_size`; after
Accept the gateway sends the whole job in Body parts, which the worker reads when it has a slot.
A gateway that offers a `window` says by Taken how many tokens its client has taken, after every
half window at the latest; the worker stays within a window of that, so that little is lost with it.
Each message is a msgpack array whose first item is its number; items and map keys a reader does
not know are ignored, so newer nodes may append.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgpack
import orjson
from pydantic import TypeAdapter, ValidationError

from mesh.errors import WireError
from mesh.ids import JobId, NodeId, parse_node_id
from mesh.jobs import MAX_CHOICES, Chunk, Finish, JobSpec, Privacy, Usage
from mesh.ports import Progress

OFFER, ACCEPT, REFUSE, PROGRESS, CHUNK, FINISH, FAIL, BODY, TAKEN = 1, 2, 3, 4, 5, 6, 7, 8, 9
"""Message numbers. Retired: none."""

RESET_CANCELLED = 1
"""Stream reset code: the client went away or asked to stop."""

MAX_OFFER = 64 * 1024
"""Bytes of an encoded Offer; what is larger follows in Body parts once it is accepted."""
MAX_BODY = 32 * 1024 * 1024
"""Bytes of an encoded job in Body parts. JSON: a msgpack reader makes room for every array that
claims to be long, which a body of this size could make claim a lot."""
MAX_ITEMS = 16 * 1024
"""Items of one array or map in a message; a longer list of token ids travels in the body."""
BODY_PART = 60 * 1024
"""Bytes of one Body part."""
MAX_HOPS = 3
MAX_REASON = 500
"""Characters of a refusal or failure that are passed on."""
MAX_CODE = 64
"""Characters of an error code or the reason a choice ended."""
MAX_PARAM = 100
"""Characters of the name of a request field."""
MAX_TENANT = 128
"""Characters of a tenant's name."""
MAX_COUNT = 2**40
"""Tokens, jobs or slots that a message may speak of."""
MAX_SECONDS = 1e9
"""The longest time that a message may speak of."""
MAX_TOKEN_ID = 2**32
MAX_RESUMED = 1024 * 1024
"""Characters, or token ids, of all choices that a resumed job may carry."""
MAX_HOPS_READ = 64
"""Hops that can be read at all, so that an offer beyond MAX_HOPS is refused by that name."""
MAX_ATTEMPT = 1_000_000
MAX_PRIORITY = 1000
"""Above or below the usual priority, 0."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A gateway asks a worker to run one attempt of a job."""

    job_id: JobId
    attempt: int
    origin: NodeId
    """The gateway that accepted the request; fairness and receipts are by origin and tenant."""
    tenant: str
    privacy: Privacy
    priority: int
    deadline: float
    """Seconds from sending until the first chunk must have left."""
    hops: int
    job: JobSpec
    """The whole job, or with `body_size` its head: everything but messages, prompt, extra and
    resume."""
    body_size: int = 0
    window: int = 0
    """Tokens the worker may be ahead of what was taken; 0: the gateway sends no Taken."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The worker will run it. `in_flight` and `queued` are its load with this job counted."""

    in_flight: int
    queued: int
    slots: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """The worker will not run it. `code` is one of mesh.errors' codes or "busy"."""

    code: str
    reason: str
    retry_after: float = 0.0
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The job ended without a Finish. `final`: it would fail the same way everywhere."""

    code: str
    reason: str
    final: bool = False
    param: str | None = None


@dataclass(slots=True, unsafe_hash=True)
class Finished:
    """Finish as it travels: with what the worker measured, and often the last chunk. As Chunk."""

    finish: Finish
    queue_seconds: float = 0.0
    run_seconds: float = 0.0
    last: Chunk | None = None


WorkerMessage = Accept | Refuse | Progress | Chunk | Finished | Fail

_OFFER: TypeAdapter[Offer] = TypeAdapter(Offer)
_JOB: TypeAdapter[JobSpec] = TypeAdapter(JobSpec)
_PACKER = msgpack.Packer()
"""Made once: making one takes longer than most messages do. Keeps as much room as the largest
message took, so that offers, which may be large, have their own."""
_JOB_ID = re.compile(r"[0-9a-f]{32}")


def encode_offer(offer: Offer) -> tuple[bytes, bytes]:
    """The encoded offer, and the body to send after Accept (b"" when all of it is in the offer).

    Raises WireError when the job is larger than MAX_BODY.
    """
    data = _pack_offer(offer)
    if len(data) <= MAX_OFFER and _longest_list(offer.job) <= MAX_ITEMS:
        return data, b""
    body = orjson.dumps(_JOB.dump_python(offer.job, exclude_defaults=True))
    if len(body) > MAX_BODY:
        raise WireError(f"the request is {len(body)} bytes on the wire, at most {MAX_BODY} fit")
    head = replace(offer.job, messages=(), prompt="", extra={}, resume=())
    headed = replace(offer, job=head, body_size=len(body))
    return _pack_offer(headed), body


def split_body(body: bytes) -> Iterator[bytes]:
    """The Body messages that carry an encoded job."""
    for start in range(0, len(body), BODY_PART):
        yield _pack([BODY, body[start : start + BODY_PART]])


def decode_body_part(data: bytes) -> bytes:
    """The bytes in one Body message. Raises WireError."""
    number, part = _unpack(data)[:2]
    if number != BODY or not isinstance(part, bytes):
        raise WireError("expected a part of the job's body")
    return part


def encode_taken(tokens: int) -> bytes:
    """The gateway's client has taken so many tokens of this attempt in all."""
    return _pack([TAKEN, tokens])


def decode_taken(data: bytes) -> int:
    """The tokens in a Taken message. Raises WireError."""
    number, tokens = _unpack(data)[:2]
    if number != TAKEN or type(tokens) is not int or not 0 <= tokens <= MAX_COUNT:
        raise WireError("expected the number of tokens taken")
    return tokens


def count_tokens(chunk: Chunk) -> int:
    """Tokens in a chunk as windows count them: one where its engine does not tell."""
    return len(chunk.token_ids) if chunk.token_ids else 1


def decode_job(body: bytes) -> JobSpec:
    """The job that was split into Body parts. Raises WireError."""
    try:
        job = _JOB.validate_python(orjson.loads(body))
    except ValueError:  # also pydantic's and orjson's
        raise WireError("malformed job in the body") from None
    if job.resume:
        _check_resume(job)
    return job


def decode_offer(data: bytes) -> Offer:
    """Raises WireError on anything that is not a well-formed Offer."""
    number, fields = _unpack(data)[:2]
    if number != OFFER:
        raise WireError(f"expected an offer, got message {number!r}")
    try:
        offer: Offer = _OFFER.validator.validate_python(fields)
    except ValidationError as error:
        raise WireError(f"malformed offer: {error.errors()[0]['loc']}") from None
    _check_offer(offer)
    return offer


def encode(message: WorkerMessage) -> bytes:
    """Encode what a worker sends."""
    match message:
        case Chunk():
            fields: list[Any] = _chunk_fields(message)
        case Accept(in_flight, queued, slots):
            fields = [ACCEPT, in_flight, queued, slots]
        case Progress(state, position, eta):
            fields = [PROGRESS, state == "running", position, eta]
        case Finished(finish, queue_seconds, run_seconds, last):
            usage = finish.usage
            counts = [usage.prompt_tokens, usage.completion_tokens]
            fields = [FINISH, finish.reasons, counts, queue_seconds, run_seconds]
            fields.append(None if last is None else _chunk_fields(last))
        case Refuse(code, reason, retry_after, param):
            fields = [REFUSE, code, reason[:MAX_REASON], retry_after, param]
        case Fail(code, reason, final, param):
            fields = [FAIL, code, reason[:MAX_REASON], final, param]
    return _pack(fields)


def decode(data: bytes) -> WorkerMessage:
    """Decode what a worker sent. Raises WireError on anything else."""
    fields = _unpack(data)
    try:
        return _DECODERS[fields[0]](fields)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise WireError(f"malformed worker message {fields[0]!r:.40}") from None


def _pack_offer(offer: Offer) -> bytes:
    told = _OFFER.serializer.to_python(offer, exclude_defaults=True)
    packed: bytes = msgpack.packb([OFFER, told])
    return packed


def _pack(value: object) -> bytes:
    packed: bytes = _PACKER.pack(value)
    return packed


def _unpack(data: bytes) -> list[Any]:
    try:
        if len(data) <= MAX_ITEMS:  # msgpack itself takes no more items than there are bytes
            fields = msgpack.unpackb(data)
        else:
            fields = msgpack.unpackb(data, max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS)
    except (ValueError, TypeError, RecursionError):
        raise WireError("a message is not msgpack") from None
    if not isinstance(fields, list) or len(fields) < 2 or not isinstance(fields[0], int):
        raise WireError("a message is not an array that starts with its number")
    return fields


def _check_offer(offer: Offer) -> None:
    """Raises WireError when a field is of the right type but out of bounds."""
    if not _JOB_ID.fullmatch(offer.job_id):
        raise WireError("a job id is 32 lower-case hex digits")
    try:
        parse_node_id(offer.origin)
    except ValueError:
        raise WireError("the origin of an offer is 40 lower-case hex digits") from None
    if len(offer.tenant) > MAX_TENANT or not offer.tenant.isprintable():
        raise WireError(f"a tenant is at most {MAX_TENANT} printable characters")
    if not 0 < offer.deadline <= MAX_SECONDS:  # not-a-number fails this, too
        raise WireError("an offer's deadline is out of bounds")
    if not (0 <= offer.attempt <= MAX_ATTEMPT and 0 <= offer.hops <= MAX_HOPS_READ):
        raise WireError("an offer's attempt or hops are out of bounds")
    if abs(offer.priority) > MAX_PRIORITY:
        raise WireError("an offer's priority is out of bounds")
    if not 0 <= offer.body_size <= MAX_BODY:
        raise WireError(f"a body of {offer.body_size} bytes; at most {MAX_BODY} are taken")
    if not 0 <= offer.window <= MAX_COUNT:
        raise WireError("an offer's window is out of bounds")
    if offer.job.resume:
        _check_resume(offer.job)


def _check_resume(job: JobSpec) -> None:
    """Raises WireError unless there is one start for each choice, and all are within bounds."""
    if len(job.resume) != job.sampling.n or len(job.resume) > MAX_CHOICES:
        raise WireError("a resumed job carries one start for each of its choices")
    if sum(len(emitted.text) for emitted in job.resume) > MAX_RESUMED:
        raise WireError(f"a resumed job carries at most {MAX_RESUMED} characters")
    ids = [token for emitted in job.resume for token in emitted.token_ids or ()]
    if len(ids) > MAX_RESUMED or not all(0 <= token <= MAX_TOKEN_ID for token in ids):
        raise WireError("the token ids of a resumed job are out of bounds")


def _longest_list(job: JobSpec) -> int:
    prompt = len(job.prompt) if isinstance(job.prompt, tuple) else 0
    if not job.resume:
        return prompt
    return max((prompt, *(len(emitted.token_ids or ()) for emitted in job.resume)))


def _chunk_fields(chunk: Chunk) -> list[Any]:
    fields = [CHUNK, chunk.index, chunk.text, chunk.token_ids, chunk.delta, chunk.logprobs]
    if chunk.end:
        fields.append(chunk.end)
    return fields


def _chunk(fields: list[Any]) -> Chunk:
    _, index, text, token_ids, delta, logprobs = fields[:6]
    # `type is` and not isinstance: a bool is no index, and msgpack makes no subclasses.
    if type(index) is not int or not 0 <= index < MAX_CHOICES or type(text) is not str:
        raise ValueError
    if delta is not None and type(delta) is not dict:
        raise ValueError
    if logprobs is not None and type(logprobs) is not dict:
        raise ValueError
    ids = None if token_ids is None else _token_ids(token_ids)
    if len(fields) == 6:  # nearly all
        return Chunk(text, index, ids, delta, logprobs)
    return Chunk(text, index, ids, delta, logprobs, _text(fields[6], MAX_CODE))


def _token_ids(values: Any) -> tuple[int, ...]:
    if type(values) is not list:
        raise ValueError
    for value in values:
        if type(value) is not int or not 0 <= value <= MAX_TOKEN_ID:
            raise ValueError
    return tuple(values)


def _accept(fields: list[Any]) -> Accept:
    return Accept(_count(fields[1]), _count(fields[2]), _count(fields[3]))


def _progress(fields: list[Any]) -> Progress:
    eta = None if fields[3] is None else _seconds(fields[3])
    return Progress("running" if fields[1] else "queued", _count(fields[2]), eta)


def _finish(fields: list[Any]) -> Finished:
    _, reasons, counts, queue_seconds, run_seconds = fields[:5]
    if type(reasons) is not list or len(reasons) > MAX_CHOICES:
        raise ValueError
    usage = Usage(_count(counts[0]), _count(counts[1]))
    finish = Finish(tuple([_text(reason, MAX_CODE) for reason in reasons]), usage)
    last = _chunk(fields[5]) if len(fields) > 5 and fields[5] is not None else None
    return Finished(finish, _seconds(queue_seconds), _seconds(run_seconds), last)


def _refuse(fields: list[Any]) -> Refuse:
    code, reason = _text(fields[1], MAX_CODE), _text(fields[2], MAX_REASON)
    return Refuse(code, reason, _seconds(fields[3]), _param(fields[4]))


def _fail(fields: list[Any]) -> Fail:
    code, reason = _text(fields[1], MAX_CODE), _text(fields[2], MAX_REASON)
    return Fail(code, reason, bool(fields[3]), _param(fields[4]))


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise ValueError
    return value


def _seconds(value: Any) -> float:
    """Not-a-number fails the comparison, too."""
    if (type(value) is not float and type(value) is not int) or not 0 <= value <= MAX_SECONDS:
        raise ValueError
    return float(value)


def _text(value: Any, most: int) -> str:
    """A peer's words cut to `most` characters and fit for a log: nothing unprintable is left."""
    if type(value) is not str:
        raise ValueError
    cut = value[:most]
    return cut if cut.isprintable() else "".join(filter(str.isprintable, cut))


def _param(value: Any) -> str | None:
    return None if value is None else _text(value, MAX_PARAM)


_DECODERS: dict[int, Callable[[list[Any]], WorkerMessage]] = {
    ACCEPT: _accept,
    REFUSE: _refuse,
    PROGRESS: _progress,
    CHUNK: _chunk,
    FINISH: _finish,
    FAIL: _fail,
}
