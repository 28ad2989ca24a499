"""Fetches the body of a job that was too large for its offer."""

from __future__ import annotations

import asyncio

from mesh.errors import StreamReset, WireError
from mesh.jobs import JobSpec
from mesh.ports import Stream
from mesh.wire.jobs import decode_body_part, decode_job

BODY_SECONDS, BODY_RATE = 10.0, 64 * 1024
"""A body must have come within so many seconds, plus its size over so many bytes a second."""


async def receive_body(stream: Stream, size: int) -> JobSpec:
    """Collect the Body parts of an offer. Raises LinkError, also when they do not add up."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS + size / BODY_RATE):
            while len(body) < size:
                data = await stream.receive()
                if data is None:
                    break
                body += decode_body_part(data)
        if len(body) != size:
            raise WireError(f"the body has {len(body)} bytes instead of {size}")
        return decode_job(bytes(body))
    except (WireError, TimeoutError) as error:
        reason = str(error) or "the body did not come in time"
        stream.reset(0, reason)
        raise StreamReset(0, reason) from error
