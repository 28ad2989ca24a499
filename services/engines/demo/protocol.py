"""What the daemon and the demo process say to each other over the process's pipes.

Messages are msgpack maps, one after the other. To the process: {"run": id, "request": {...},
"window": n}, {"pull": id, "count": n}, {"cancel": id}. From it, with "job": id and one of "chunk",
"finish", "refused" (wrong everywhere) or "failed" (try elsewhere).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgpack

from mesh.errors import ContextTooLong, EngineError, InvalidRequest, NotSupported
from mesh.jobs import Chunk, Emitted, Finish, Usage
from services.engines.demo.request import Request, Settings

Message = Mapping[str, Any]

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes of one message; the longest allowed prompt as ids takes less than a tenth."""

STREAM_WINDOW = 8
"""Chunks, of one token each, that the process writes ahead of its reader."""
PIECE_WINDOW = 2
"""The same for answers that come in longer pieces."""

_REFUSALS = {kind.code: kind for kind in (InvalidRequest, ContextTooLong, NotSupported)}


def encode(message: Message) -> bytes:
    """Bytes of a message. Text may hold lone surrogates, as JSON may."""
    data: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
    return data


def make_unpacker() -> msgpack.Unpacker:
    """Cuts a stream of bytes into messages; raises BufferFull past MAX_MESSAGE."""
    return msgpack.Unpacker(max_buffer_size=MAX_MESSAGE, unicode_errors="surrogatepass")


def pack_request(request: Request) -> Message:
    """A request as plain data."""
    return asdict(request)


def unpack_request(data: Message) -> Request:
    """What `pack_request` packed."""
    settings = dict(data["settings"])
    settings["stop"] = tuple(settings["stop"])
    settings["bias"] = tuple((token, bias) for token, bias in settings["bias"])
    prompt = data["prompt"]
    return Request(
        kind=data["kind"],
        settings=Settings(**settings),
        turns=tuple((speaker, text) for speaker, text in data["turns"]),
        prompt=prompt if isinstance(prompt, str) else tuple(prompt),
        resume=tuple(_unpack_emitted(one) for one in data["resume"]),
        stream=data["stream"],
    )


def _unpack_emitted(data: Message) -> Emitted:
    ids = data["token_ids"]
    return Emitted(data["text"], None if ids is None else tuple(ids), data["finished"])


def pack_event(job: int, event: Chunk | Finish) -> Message:
    """A chunk or the end of a job as plain data."""
    if isinstance(event, Finish):
        usage = (event.usage.prompt_tokens, event.usage.completion_tokens)
        return {"job": job, "finish": [event.reasons, usage]}
    return {"job": job, "chunk": [event.text, event.index, event.token_ids, event.logprobs]}


def pack_error(job: int, error: InvalidRequest | None) -> Message:
    """Why a job has no further events; None when the reason is the engine's own."""
    if error is None:
        return {"job": job, "failed": True}
    return {"job": job, "refused": [error.code, str(error), error.param]}


def unpack_event(message: Message) -> Chunk | Finish:
    """The event in a message. Raises what the process raised."""
    if "chunk" in message:
        text, index, ids, logprobs = message["chunk"]
        return Chunk(text, index, tuple(ids), logprobs=logprobs)
    if "finish" in message:
        reasons, usage = message["finish"]
        return Finish(tuple(reasons), Usage(*usage))
    if "refused" in message:
        code, text, param = message["refused"]
        raise _REFUSALS.get(code, InvalidRequest)(text, param=param)
    raise EngineError("the demo engine failed at this job")
