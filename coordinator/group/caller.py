"""Asks another member one question over a link."""

from __future__ import annotations

from mesh.errors import LinkError, WireError
from mesh.ports import Link, StreamKind
from mesh.wire.group import Answer, Request, decode_answer, encode_request


class NotAnswered(Exception):
    """The link broke, or nothing sensible came: whether anything was done is not known."""


async def ask_member(link: Link, request: Request, *, timeout: float) -> Answer:
    """One question, one answer. Raises NotAnswered."""
    try:
        data = await link.call(StreamKind.CONSENSUS, encode_request(request), timeout=timeout)
        return decode_answer(data)
    except (LinkError, WireError, TimeoutError) as error:
        raise NotAnswered(str(error) or type(error).__name__) from None
