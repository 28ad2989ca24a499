"""An OpenAI-compatible server that generates nothing: vLLM, llama.cpp or a plain one, over a
real socket. Unknown request fields are refused with 400. Wire shapes: tests/fakes/openai_wire.py.

As a process: `python -m tests.fakes.openai_server --port 0`; its URL is the first line printed.
`GET /fake` shows knobs and counters, `POST /fake` with {"knob": value} turns knobs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from typing import Any

from aiohttp import web

from tests.fakes import openai_wire as wire
from tests.fakes.knobs import Knobs
from tests.fakes.openai_tokenizer import Kind, RenderFault, TokenizerPages, prompt_text
from tests.fakes.serving import FakeServer, serve_forever
from tests.fakes.story import cut, to_ids, write

COMPLETION_TOKENS = 16
"""vLLM's and OpenAI's `max_tokens` of a completion that names none."""


class FakeOpenAI(FakeServer):
    """One fake server. `async with FakeOpenAI(kind="vllm") as fake: fake.url`."""

    def __init__(
        self,
        kind: Kind = "plain",
        *,
        model: str = "fake-7b",
        context: int = 4096,
        slots: int = 2,
        api_key: str = "",
        knobs: Knobs | None = None,
    ) -> None:
        super().__init__(knobs or Knobs())
        self.kind = kind
        self.model = model
        self.context = context
        self.slots = slots
        self.api_key = api_key

    def routes(self) -> list[web.RouteDef]:
        shared = [
            web.post("/v1/chat/completions", self._generate),
            web.post("/v1/completions", self._generate),
            web.get("/v1/models", self._models),
            *TokenizerPages(self.kind, self.knobs, self.context).routes(),
        ]
        if self.kind == "vllm":
            return [
                *shared,
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.get("/health", self._health),
            ]
        if self.kind == "llama.cpp":
            return [
                *shared,
                web.get("/props", self._props),
                web.get("/slots", self._slots),
                web.get("/health", self._health),
            ]
        return shared

    def server_header(self) -> str:
        return {"vllm": "uvicorn", "llama.cpp": "llama.cpp", "plain": "plain"}[self.kind]

    def refuse(self, request: web.Request) -> web.Response | None:
        if self.knobs.loading:
            body = wire.error("Loading model", 503, "unavailable_error")
            return web.json_response(body, status=503)
        if self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            body = wire.error("Invalid API Key", 401, "authentication_error")
            return web.json_response(body, status=401)
        return None

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.13.0"})

    async def _metrics(self, request: web.Request) -> web.Response:
        running = min(self.seen.running, self.slots)
        waiting, cache = self.seen.running - running, self.slots * self.context
        text = wire.vllm_metrics(self.model, running, waiting, cache)
        return web.Response(text=text)

    async def _props(self, request: web.Request) -> web.Response:
        return web.json_response(wire.llama_props(self.model, self.context, self.slots))

    async def _slots(self, request: web.Request) -> web.Response:
        return web.json_response(wire.llama_slots(self.context, self.slots, self.seen.running))

    async def _models(self, request: web.Request) -> web.Response:
        if self.kind == "vllm":
            return web.json_response(wire.vllm_models(self.model, self.context))
        if self.kind == "llama.cpp":
            return web.json_response(wire.llama_models(self.model, self.context))
        card = {"id": self.model, "object": "model", "created": 0, "owned_by": "someone"}
        return web.json_response({"object": "list", "data": [card]})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        chat = request.path.endswith("/chat/completions")
        body = await request.json()
        self.seen.remember(body, dict(request.headers))
        refused = self._check(body, chat)
        if refused is not None:
            return refused
        with self.generation():
            await asyncio.sleep(self.knobs.first_delay)
            if body.get("stream"):
                return await self._stream(request, body, chat)
            return await self._whole(body, chat)

    def _check(self, body: dict[str, Any], chat: bool) -> web.Response | None:
        def refusal(message: str, status: int, kind: str, code: object = None) -> web.Response:
            return web.json_response(wire.error(message, status, kind, code), status=status)

        if self.knobs.busy:
            return refusal("no slot available", 503, "unavailable_error")
        if self.knobs.refuse_usage and "stream_options" in body:
            return refusal("unknown fields: stream_options", 400, "invalid_request_error")
        wrong = wire.fault(body, chat)
        if wrong:
            return refusal(wrong, 400, "invalid_request_error")
        if self.kind == "vllm" and body.get("model") != self.model:
            message = f"The model `{body.get('model')}` does not exist."
            return refusal(message, 404, "NotFoundError")
        try:
            asked = self._count(body)
        except RenderFault as fault:
            return refusal(str(fault), 400, "BadRequestError")
        if asked > self.context:
            return self._too_long(asked)
        return None

    def _count(self, body: dict[str, Any]) -> int:
        rendered = cut(prompt_text(self.kind, self.knobs, body))
        return len(rendered) if self.knobs.by_tokens else wire.prompt_tokens(body)

    def _too_long(self, asked: int) -> web.Response:
        if self.kind == "llama.cpp":
            message = f"request ({asked} tokens) exceeds the available context size"
            body = wire.error(message, 400, "exceed_context_size_error")
            return web.json_response(body, status=400)
        message = f"This model's maximum context length is {self.context} tokens."
        code = "context_length_exceeded" if self.kind == "plain" else 400
        body = wire.error(message, 400, "BadRequestError", code)
        return web.json_response(body, status=400)

    def _budget(self, body: dict[str, Any]) -> int | None:
        found = body.get("max_completion_tokens", body.get("max_tokens"))
        if found is None and self.kind == "vllm" and "prompt" in body:
            return COMPLETION_TOKENS
        return None if found is None else int(found)

    def _write(self, body: dict[str, Any]) -> tuple[list[str], str]:
        """The tokens of one choice, and why it ends."""
        prompt, stop = prompt_text(self.kind, self.knobs, body), body.get("stop", [])
        return write(
            self.knobs, prompt, self._budget(body), [stop] if isinstance(stop, str) else stop
        )

    async def _whole(self, body: dict[str, Any], chat: bool) -> web.Response:
        choices = []
        completion = 0
        for index in range(body.get("n", 1)):
            tokens, reason = self._write(body)
            await asyncio.sleep(self.knobs.delay * len(tokens))
            completion += len(tokens)
            self.seen.tokens += len(tokens)
            choices.append(self._whole_choice(body, chat, index, "".join(tokens), reason))
        shown = wire.envelope(body, chat, stream=False)
        shown["choices"] = choices
        shown["usage"] = wire.usage(self._count(body), completion)
        return web.json_response(shown)

    def _whole_choice(
        self, body: dict[str, Any], chat: bool, index: int, text: str, reason: str
    ) -> dict[str, Any]:
        shown: dict[str, Any] = {"index": index, "finish_reason": reason}
        shown["logprobs"] = wire.logprobs(body, chat, text)
        if not chat:
            return {**shown, "text": text}
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self.knobs.reasoning:
            message["reasoning_content"] = self.knobs.reasoning
        if self.knobs.tool_call is not None:
            arguments = json.dumps(self.knobs.tool_call["arguments"])
            calls = wire.tool_calls(self.knobs.tool_call, arguments, streamed=False)
            message.update(content=None, tool_calls=calls)
            shown["finish_reason"] = "tool_calls"
        return {**shown, "message": message}

    async def _stream(
        self, request: web.Request, body: dict[str, Any], chat: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        head = wire.envelope(body, chat, stream=True)
        completion = 0
        for index in range(body.get("n", 1)):
            if chat:
                opening = {"role": "assistant", "content": ""}
                await self._send(
                    response, head, [wire.choice_chunk(index, chat, opening, None, None)]
                )
            sent = await self._stream_choice(request, response, body, chat, index)
            if sent is None:
                return response
            completion += sent
        if (body.get("stream_options") or {}).get("include_usage"):
            total = wire.usage(self._count(body), completion)
            await self._send(response, {**head, "usage": total}, [])
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _stream_choice(
        self,
        request: web.Request,
        response: web.StreamResponse,
        body: dict[str, Any],
        chat: bool,
        index: int,
    ) -> int | None:
        """Send one choice; the number of tokens, or None when a knob ended the stream."""
        head = wire.envelope(body, chat, stream=True)
        if chat and (self.knobs.reasoning or self.knobs.tool_call):
            tooled = await self._send_extras(response, head, index)
            if tooled:
                return 1
        tokens, reason = self._write(body)
        for position, text in enumerate(tokens):
            if await self.misbehave(position, request, response):
                return None
            await asyncio.sleep(self.knobs.delay)
            probs = wire.logprobs(body, chat, text)
            chunk = wire.choice_chunk(index, chat, {"content": text}, None, probs)
            if body.get("return_token_ids") and self.kind == "vllm":
                chunk["token_ids"] = to_ids(text)
            await self._send(response, head, [chunk])
            self.seen.tokens += 1
        if await self.misbehave(len(tokens), request, response):
            return None
        await self._send(response, head, [wire.choice_chunk(index, chat, {}, reason, None)])
        return len(tokens)

    async def _send_extras(
        self, response: web.StreamResponse, head: dict[str, Any], index: int
    ) -> bool:
        """Reasoning, then a tool call in two pieces as servers stream it. True when it called."""
        if self.knobs.reasoning:
            delta: dict[str, Any] = {"reasoning_content": self.knobs.reasoning}
            await self._send(response, head, [wire.choice_chunk(index, True, delta, None, None)])
        call = self.knobs.tool_call
        if call is None:
            return False
        arguments = json.dumps(call["arguments"])
        first = wire.tool_calls(call, arguments[:2], streamed=True)
        rest = [{"index": 0, "function": {"arguments": arguments[2:]}}]
        for piece in (first, rest):
            chunk = wire.choice_chunk(index, True, {"tool_calls": piece}, None, None)
            await self._send(response, head, [chunk])
        await self._send(response, head, [wire.choice_chunk(index, True, {}, "tool_calls", None)])
        return True

    async def _send(
        self, response: web.StreamResponse, head: dict[str, Any], choices: list[dict[str, Any]]
    ) -> None:
        await response.write(
            b"data: " + json.dumps({**head, "choices": choices}).encode() + b"\n\n"
        )

    def garbage(self) -> bytes:
        return b"data: {this is not JSON\n\n"

    def stream_error(self) -> bytes:
        body = wire.error("CUDA error: out of memory", 500, "server_error")
        return b"data: " + json.dumps(body).encode() + b"\n\n"


def main() -> None:
    """Run as a process until terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--kind", choices=("vllm", "llama.cpp", "plain"), default="vllm")
    parser.add_argument("--model", default="fake-7b")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--length", type=int, default=8, help="tokens of an answer")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each token")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--api-key-env", default="", help="variable that holds the key")
    given = parser.parse_args()
    fake = FakeOpenAI(
        given.kind,
        model=given.model,
        context=given.context,
        slots=given.slots,
        api_key=os.environ[given.api_key_env] if given.api_key_env else given.api_key,
        knobs=Knobs(length=given.length, delay=given.delay),
    )
    serve_forever(fake, given.host, given.port)


if __name__ == "__main__":
    main()
