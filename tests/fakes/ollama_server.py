"""A server that speaks Ollama's native API and generates nothing.

Copied from github.com/ollama/ollama: docs/openapi.yaml at 017eb8a and docs/api.md (2025 and
later: `think`, `logprobs`, `capabilities`, object `format`, "Request (Raw Mode)"), and for
`_debug_render_only` api/types.go and server/routes.go (2025-11). `prompt_eval_count` counts cached
tokens too (pull 5371). A last message of the assistant is left open, as by most templates. Unknown
request fields are refused with 400, which the real server does not do, so that a caller's mistakes
show.

As a process: `python -m tests.fakes.ollama_server --port 0`; its URL is the first line printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from aiohttp import web

from tests.fakes.knobs import Knobs
from tests.fakes.serving import FakeServer, serve_forever
from tests.fakes.story import cut, render, write

SHARED_FIELDS = frozenset(
    [
        *("model", "stream", "format", "options", "keep_alive", "think", "logprobs"),
        *("top_logprobs", "_debug_render_only"),
    ]
)
CHAT_FIELDS = SHARED_FIELDS | {"messages", "tools"}
GENERATE_FIELDS = SHARED_FIELDS | {"prompt", "suffix", "system", "raw", "images"}
OPTION_FIELDS = frozenset(
    [
        "num_keep",
        "seed",
        "num_predict",
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
        "repeat_last_n",
        "temperature",
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "num_ctx",
        "num_batch",
        "num_gpu",
    ]
)
MESSAGE_FIELDS = frozenset(
    ["role", "content", "images", "tool_calls", "tool_name", "tool_call_id", "thinking"]
)
CREATED = "2026-01-01T00:00:00.000000Z"


class FakeOllama(FakeServer):
    """One fake Ollama. `async with FakeOllama() as fake: fake.url`."""

    def __init__(
        self,
        *,
        model: str = "llama3.2:3b",
        context: int = 8192,
        capabilities: tuple[str, ...] = ("completion", "tools"),
        knobs: Knobs | None = None,
    ) -> None:
        super().__init__(knobs or Knobs())
        self.model = model
        self.context = context
        self.capabilities = list(capabilities)
        self.loaded = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._root),
            web.get("/api/version", self._version),
            web.get("/api/tags", self._tags),
            web.get("/api/ps", self._ps),
            web.post("/api/show", self._show_model),
            web.post("/api/chat", self._generate),
            web.post("/api/generate", self._generate),
        ]

    def garbage(self) -> bytes:
        return b'{"model": this is not JSON\n'

    def stream_error(self) -> bytes:
        return b'{"error":"llama runner process has terminated: exit status 2"}\n'

    def _details(self) -> dict[str, Any]:
        return {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "3.2B",
            "quantization_level": "Q4_K_M",
        }

    def _card(self) -> dict[str, Any]:
        digest = "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"
        card = {"name": self.model, "model": self.model, "size": 2_019_393_189, "digest": digest}
        return {**card, "details": self._details()}

    async def _root(self, request: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.13.5"})

    async def _tags(self, request: web.Request) -> web.Response:
        return web.json_response({"models": [{**self._card(), "modified_at": CREATED}]})

    async def _ps(self, request: web.Request) -> web.Response:
        loaded = {**self._card(), "expires_at": CREATED, "size_vram": 0, "context_length": 4096}
        return web.json_response({"models": [loaded] if self.loaded else []})

    async def _show_model(self, request: web.Request) -> web.Response:
        body = await request.json()
        if set(body) - {"model", "verbose"}:
            return web.json_response({"error": "unknown fields"}, status=400)
        if body.get("model") != self.model:
            return web.json_response({"error": f"model '{body['model']}' not found"}, status=404)
        info = {"general.architecture": "llama", "llama.context_length": self.context}
        shown = {"details": self._details(), "model_info": info, "capabilities": self.capabilities}
        return web.json_response(shown)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.remember(body, dict(request.headers))
        chat = request.path == "/api/chat"
        refused = self._check(body, chat)
        if refused is not None:
            return refused
        self.loaded = True
        if body.get("_debug_render_only"):
            shown = {"model": body["model"], "created_at": CREATED}
            shown["_debug_info"] = {"rendered_template": self._prompt(body)}
            return web.json_response(shown)
        with self.generation():
            await asyncio.sleep(self.knobs.first_delay)
            if body.get("stream", True):
                return await self._stream(request, body, chat)
            return await self._whole(body, chat)

    def _check(self, body: dict[str, Any], chat: bool) -> web.Response | None:
        def refusal(message: str, status: int) -> web.Response:
            return web.json_response({"error": message}, status=status)

        if self.knobs.busy:
            return refusal("server busy, please try again.  maximum pending requests exceeded", 503)
        unknown = set(body) - (CHAT_FIELDS if chat else GENERATE_FIELDS)
        unknown |= set(body.get("options", {})) - OPTION_FIELDS
        for message in body.get("messages", ()):
            unknown |= set(message) - MESSAGE_FIELDS
        if unknown:
            return refusal(f"unknown fields: {', '.join(sorted(unknown))}", 400)
        if body.get("model") != self.model:
            return refusal(f"model '{body.get('model')}' not found", 404)
        return self._check_message(body)

    def _check_message(self, body: dict[str, Any]) -> web.Response | None:
        for message in body.get("messages", ()):
            calls = message.get("tool_calls", ())
            bad = any(not isinstance(call["function"]["arguments"], dict) for call in calls)
            if bad or not isinstance(message.get("content", ""), str):
                return web.json_response({"error": "json: cannot unmarshal message"}, status=400)
        if body.get("tools") and "tools" not in self.capabilities:
            text = f"registry.ollama.ai/library/{self.model} does not support tools"
            return web.json_response({"error": text}, status=400)
        return None

    def _event(self, body: dict[str, Any], chat: bool, text: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"model": body["model"], "created_at": CREATED, "done": False}
        if chat:
            shown["message"] = {"role": "assistant", "content": text}
        else:
            shown["response"] = text
        if body.get("logprobs") and text:
            one = {"token": text, "logprob": -0.5, "bytes": list(text.encode())}
            shown["logprobs"] = [{**one, "top_logprobs": [one] * body.get("top_logprobs", 0)}]
        return shown

    def _last(self, body: dict[str, Any], chat: bool, reason: str, count: int) -> dict[str, Any]:
        shown = self._event(body, chat, "")
        prompt = len(json.dumps(body.get("messages", body.get("prompt"))).split())
        if self.knobs.by_tokens:
            prompt = len(cut(self._prompt(body)))
        counts = {"prompt_eval_count": prompt, "eval_count": count, "eval_duration": 1}
        return {**shown, "done": True, "done_reason": reason, "total_duration": 1, **counts}

    def _prompt(self, body: dict[str, Any]) -> str:
        """What the model sees of a request."""
        if "messages" in body:
            last_is_answer = body["messages"][-1]["role"] == "assistant"
            return render(self.knobs, body["messages"], open_end=last_is_answer)
        prompt: str = body["prompt"]
        if body.get("raw") or body.get("suffix"):
            return prompt
        return render(self.knobs, [{"role": "user", "content": prompt}], open_end=False)

    def _write(self, body: dict[str, Any]) -> tuple[list[str], str]:
        options = body.get("options", {})
        limit, stop = options.get("num_predict"), options.get("stop", [])
        return write(self.knobs, self._prompt(body), limit, stop)

    def _tool_message(self) -> dict[str, Any]:
        return {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": self.knobs.tool_call}],
        }

    async def _whole(self, body: dict[str, Any], chat: bool) -> web.Response:
        tokens, reason = self._write(body)
        await asyncio.sleep(self.knobs.delay * len(tokens))
        self.seen.tokens += len(tokens)
        shown = self._last(body, chat, reason, len(tokens))
        whole = self._event(body, chat, "".join(tokens))
        if chat and self.knobs.tool_call is not None:
            whole["message"] = self._tool_message()
        if chat and self.knobs.reasoning:
            whole["message"]["thinking"] = self.knobs.reasoning
        return web.json_response({**shown, **whole, "done": True})

    async def _stream(
        self, request: web.Request, body: dict[str, Any], chat: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for extra in self._extras(body, chat):
            await self._send(response, extra)
        tokens, reason = self._write(body)
        if chat and self.knobs.tool_call is not None:
            tokens = []
        for position, text in enumerate(tokens):
            if await self.misbehave(position, request, response):
                return response
            await asyncio.sleep(self.knobs.delay)
            await self._send(response, self._event(body, chat, text))
            self.seen.tokens += 1
        if not await self.misbehave(len(tokens), request, response):
            await self._send(response, self._last(body, chat, reason, len(tokens)))
        return response

    def _extras(self, body: dict[str, Any], chat: bool) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        if chat and self.knobs.reasoning:
            event = self._event(body, chat, "")
            event["message"]["thinking"] = self.knobs.reasoning
            made.append(event)
        if chat and self.knobs.tool_call is not None:
            made.append({**self._event(body, chat, ""), "message": self._tool_message()})
        return made

    async def _send(self, response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(json.dumps(event).encode() + b"\n")


def main() -> None:
    """Run as a process until terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="llama3.2:3b")
    parser.add_argument("--length", type=int, default=8, help="tokens of an answer")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each token")
    given = parser.parse_args()
    knobs = Knobs(length=given.length, delay=given.delay)
    serve_forever(FakeOllama(model=given.model, knobs=knobs), given.host, given.port)


if __name__ == "__main__":
    main()
