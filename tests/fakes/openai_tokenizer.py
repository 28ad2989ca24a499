"""The pages on which vLLM and llama.cpp render conversations and tokenize text.

vLLM: vllm/entrypoints/serve/tokenize/protocol.py at 030ea52 (2026). llama.cpp: "POST /tokenize",
"POST /detokenize", "POST /apply-template" in tools/server/README.md at 00dc805 (2026). Unknown
fields are refused, which the real servers do not do.
"""

from __future__ import annotations

from typing import Any, Literal

from aiohttp import web

from tests.fakes import openai_wire as wire
from tests.fakes.knobs import Knobs
from tests.fakes.story import render, to_ids, to_text

Kind = Literal["vllm", "llama.cpp", "plain"]


class RenderFault(Exception):
    """A conversation that the server does not render."""


def prompt_text(kind: Kind, knobs: Knobs, body: dict[str, Any]) -> str:
    """What the model sees of a request. Raises RenderFault."""
    if "messages" not in body:
        prompt = body.get("prompt", "")
        return prompt if isinstance(prompt, str) else to_text(prompt) or ""
    messages = body["messages"]
    last_is_answer = bool(messages) and messages[-1]["role"] == "assistant"
    if kind == "llama.cpp":
        if last_is_answer and knobs.thinks:
            raise RenderFault("Assistant response prefill is incompatible with enable_thinking.")
        return render(knobs, messages, open_end=last_is_answer)
    asks = body.get("add_generation_prompt", True)
    if kind != "vllm" or not body.get("continue_final_message"):
        return render(knobs, messages, open_end=False, ask=asks)
    if asks:
        raise RenderFault("Cannot set both `continue_final_message` and `add_generation_prompt`.")
    if not last_is_answer:
        raise RenderFault("`continue_final_message` needs a last message of the assistant.")
    return render(knobs, messages, open_end=True)


class TokenizerPages:
    """The handlers, for one kind of server."""

    def __init__(self, kind: Kind, knobs: Knobs, context: int) -> None:
        self._kind = kind
        self._knobs = knobs
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        pages = wire.TOKENIZER_FIELDS.get(self._kind, {})
        return [web.post(path, self._answer) for path in pages]

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        unknown = set(body) - wire.TOKENIZER_FIELDS[self._kind][request.path]
        if unknown:
            return self._refusal(f"unknown fields: {', '.join(sorted(unknown))}")
        try:
            found = getattr(self, "_" + request.path[1:].replace("-", "_"))(body)
        except RenderFault as fault:
            return self._refusal(str(fault))
        return web.json_response(found)

    def _tokenize(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._kind == "llama.cpp":
            return {"tokens": to_ids(body["content"])}
        ids = to_ids(prompt_text(self._kind, self._knobs, body))
        return {"count": len(ids), "max_model_len": self._context, "tokens": ids}

    def _detokenize(self, body: dict[str, Any]) -> dict[str, Any]:
        text = to_text(body["tokens"])
        if text is None:
            raise RenderFault("token ids out of range")
        return {"prompt" if self._kind == "vllm" else "content": text}

    def _apply_template(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"prompt": prompt_text(self._kind, self._knobs, body)}

    def _refusal(self, message: str) -> web.Response:
        return web.json_response(wire.error(message, 400, "BadRequestError"), status=400)
