"""Handlers of the original platform's text routes, with its check and repair of JSON answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mesh.clock import Clock
from mesh.ids import NodeId
from node.gateway.exchange import Answer, Incoming, Reply
from node.gateway.faults import Fault, Refusal
from node.gateway.generation import Generation, Outcome
from node.gateway.json_answer import JsonAnswer, find_json
from node.gateway.sse import milliseconds
from node.gateway.text_generate import (
    TextCall,
    TextStream,
    parse_text,
    render_text,
    repeat_for_json,
)

PREVIEW = 200
"""Characters of a bad reply shown in the error."""


class TextHandlers:
    """POST /text/generate and POST /text/generate/stream."""

    def __init__(
        self,
        *,
        generation: Generation,
        serves: Callable[[str], bool],
        engine_of: Callable[[str, NodeId], str],
        clock: Clock,
    ) -> None:
        """`serves` tells known model names; `engine_of` who answers: the engine on a node."""
        self._generation = generation
        self._serves = serves
        self._engine_of = engine_of
        self._clock = clock

    async def generate(self, incoming: Incoming, reply: Reply) -> None:
        """Answer a prompt in one piece. Raises JobError, or Refusal when JSON never came."""
        call = parse_text(incoming.take_body(), self._serves, stream=False)
        if call.expect_json:
            text, outcome, extra = await self._generate_json(call, incoming)
        else:
            outcome = await self._generation.whole(call.job, incoming)
            text, extra = outcome.answer.text, {}
        metadata = self._metadata(call, outcome, incoming) | extra
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = render_text(text, metadata, incoming.request_id, stamp)
        await reply.send(Answer(200, body, headers=outcome.headers))

    async def stream(self, incoming: Incoming, reply: Reply) -> None:
        """Answer a prompt as it comes. Raises JobError before the first byte."""
        call = parse_text(incoming.take_body(), self._serves, stream=True)
        renderer = TextStream(incoming.request_id)
        await self._generation.stream(
            call.job, incoming, reply, renderer, lambda _: renderer.error()
        )

    async def _generate_json(
        self, call: TextCall, incoming: Incoming
    ) -> tuple[str, Outcome, dict[str, Any]]:
        job, tokens = call.job, 0
        found = JsonAnswer()
        reply = ""
        for attempt in range(1, call.retries + 2):
            outcome = await self._generation.whole(job, incoming)
            tokens += outcome.answer.finish.usage.completion_tokens
            reply = outcome.answer.text
            # As in the original, the last attempt must be right without help.
            found = find_json(reply, repair=attempt <= call.retries)
            if not found.reason:
                quality = {"validated": True, "attempts": attempt, "repaired": found.repaired}
                return found.text, outcome, {"tokens_used": tokens, "json_qa": quality}
            job = repeat_for_json(call.job, reply, found.reason)
        raise Refusal(_never_json(call.retries + 1, found.reason, reply))

    def _metadata(self, call: TextCall, outcome: Outcome, incoming: Incoming) -> dict[str, Any]:
        run = outcome.run
        return {
            "provider": self._engine_of(call.job.model, run.node),
            "model": call.job.model,
            "tokens_used": outcome.answer.finish.usage.completion_tokens,
            "generation_time_ms": milliseconds(self._clock.now() - incoming.started),
            "node": run.node,
            "attempts": run.attempts,
        }


def _never_json(attempts: int, reason: str, reply: str) -> Fault:
    return replace(
        _NEVER_JSON,
        details={
            "attempts": attempts,
            "last_parse_error": reason,
            "preview": reply[:PREVIEW],
        },
    )


_NEVER_JSON = Fault(422, "json_validation_failed", "the model did not answer with valid JSON")
