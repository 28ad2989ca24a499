"""What scripted servers say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.integration.engines.conftest import Conversation

Until = Callable[..., Awaitable[None]]
"""The fixture that waits for a condition."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def echo_ok(conversation: Conversation) -> None:
    while await conversation.request():
        conversation.send(OK)


def answering(*pieces: bytes) -> Callable[[Conversation], Awaitable[None]]:
    """Send the pieces to the first request, one by one, then close."""

    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        for piece in pieces:
            conversation.send(piece)
            await conversation.writer.drain()
            await asyncio.sleep(0)

    return handler
