"""Handlers of the OpenAI routes: parse, run, render."""

from __future__ import annotations

import time

from node.gateway.exchange import Answer, Incoming, Reply
from node.gateway.generation import Generation
from node.gateway.openai_chat import ChatStream, parse_chat, render_chat
from node.gateway.openai_completions import (
    CompletionStream,
    parse_completion,
    render_completion,
)
from node.gateway.openai_errors import render_stream_error


class OpenAIHandlers:
    """POST /v1/chat/completions and POST /v1/completions."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    async def chat(self, incoming: Incoming, reply: Reply) -> None:
        """Answer a chat, streamed or whole. Raises JobError."""
        call = parse_chat(incoming.take_body())
        created = int(time.time())
        if call.job.stream:
            renderer = ChatStream(call, incoming.job_id, created)
            await self._generation.stream(call.job, incoming, reply, renderer, render_stream_error)
            return
        outcome = await self._generation.whole(call.job, incoming)
        body = render_chat(call, outcome.answer, incoming.job_id, created)
        await reply.send(Answer(200, body, headers=outcome.headers))

    async def completion(self, incoming: Incoming, reply: Reply) -> None:
        """Continue a prompt, streamed or whole. Raises JobError."""
        call = parse_completion(incoming.take_body())
        created = int(time.time())
        if call.job.stream:
            renderer = CompletionStream(call, incoming.job_id, created)
            await self._generation.stream(call.job, incoming, reply, renderer, render_stream_error)
            return
        outcome = await self._generation.whole(call.job, incoming)
        body = render_completion(call, outcome.answer, incoming.job_id, created)
        await reply.send(Answer(200, body, headers=outcome.headers))
