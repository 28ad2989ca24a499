"""How servers turn conversations and text into the token ids that they themselves would use.

vLLM: /tokenize and /detokenize, vllm/entrypoints/serve/tokenize/protocol.py at 030ea52 (2026).
llama.cpp: /apply-template and /tokenize, tools/server/README.md at 00dc805 (2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mesh.errors import EngineError, EngineUnavailable
from mesh.jobs import JobSpec
from services.engines.page_reader import PageReader

Ids = tuple[int, ...]

MAX_TOKENS = 4_000_000
"""Ids taken from one answer; more than any model's context."""
TEMPLATE_FIELDS = (
    "chat_template", "chat_template_kwargs", "add_generation_prompt", "continue_final_message",
)  # fmt: skip
"""Request fields that change how a conversation is rendered."""

QUESTION = ({"role": "user", "content": "Hello"},)
BEGUN = "Once upon a time there"


class Tokens(Protocol):
    """A server's own rendering and tokenizer. All raise EngineError when it does not tell."""

    async def of_chat(self, model_id: str, messages: Sequence[Any], how: Mapping[str, Any]) -> Ids:
        """Ids of a conversation up to where the model is to write; `how`: TEMPLATE_FIELDS."""
        ...

    async def of_text(self, model_id: str, text: str, *, start: bool) -> Ids:
        """Ids of a text; `start`: as a prompt, with the mark of a beginning where there is one."""
        ...

    async def to_text(self, model_id: str, ids: Ids) -> str:
        """Text of ids."""
        ...

    async def begun(self, model_id: str, messages: Sequence[Any]) -> Ids:
        """Ids of a conversation whose last message, the assistant's, is left open."""
        ...


async def of_prompt(tokens: Tokens, job: JobSpec, model_id: str) -> Ids:
    """Ids of what the job asks. Raises EngineError for messages that are more than text."""
    if job.kind == "chat":
        if any(not _is_text(message.get("content")) for message in job.messages):
            raise EngineError("an answer to more than text cannot be gone on with here")
        how = {name: job.extra[name] for name in TEMPLATE_FIELDS if name in job.extra}
        return await tokens.of_chat(model_id, job.messages, how)
    if isinstance(job.prompt, str):
        return await tokens.of_text(model_id, job.prompt, start=True)
    return job.prompt


async def continues_plainly(tokens: Tokens, model_id: str) -> bool:
    """Whether a begun answer, as the server renders it, is the question and then the bare text.

    Templates of models that think put marks between the two; for them it is False, as for servers
    that do not render. Raises EngineUnavailable.
    """
    try:
        asked = await tokens.of_chat(model_id, QUESTION, {})
        begun = await tokens.begun(model_id, (*QUESTION, {"role": "assistant", "content": BEGUN}))
        if begun[: len(asked)] != asked:
            return False
        return (await tokens.to_text(model_id, begun[len(asked) :])).strip() == BEGUN
    except EngineUnavailable:
        raise
    except EngineError:
        return False


class VllmTokens:
    """vLLM's /tokenize and /detokenize."""

    def __init__(self, pages: PageReader) -> None:
        self._pages = pages

    async def of_chat(self, model_id: str, messages: Sequence[Any], how: Mapping[str, Any]) -> Ids:
        """See `Tokens`."""
        ask = {"model": model_id, "messages": list(messages), **how}
        return await _ids(self._pages, "/tokenize", ask)

    async def of_text(self, model_id: str, text: str, *, start: bool) -> Ids:
        """See `Tokens`."""
        ask = {"model": model_id, "prompt": text, "add_special_tokens": start}
        return await _ids(self._pages, "/tokenize", ask)

    async def to_text(self, model_id: str, ids: Ids) -> str:
        """See `Tokens`."""
        ask = {"model": model_id, "tokens": ids}
        return await _text(self._pages, "/detokenize", ask, "prompt")

    async def begun(self, model_id: str, messages: Sequence[Any]) -> Ids:
        """See `Tokens`."""
        how = {"continue_final_message": True, "add_generation_prompt": False}
        return await self.of_chat(model_id, messages, how)


class LlamaTokens:
    """llama.cpp's /apply-template, /tokenize and /detokenize; it serves one model."""

    def __init__(self, pages: PageReader) -> None:
        self._pages = pages

    async def of_chat(self, model_id: str, messages: Sequence[Any], how: Mapping[str, Any]) -> Ids:
        """See `Tokens`."""
        ask = {"messages": list(messages), **how}
        prompt = await _text(self._pages, "/apply-template", ask, "prompt")
        return await self.of_text(model_id, prompt, start=True)

    async def of_text(self, model_id: str, text: str, *, start: bool) -> Ids:
        """See `Tokens`. Marks of structure count as such only in a prompt."""
        ask = {"content": text, "add_special": start, "parse_special": start}
        return await _ids(self._pages, "/tokenize", ask)

    async def to_text(self, model_id: str, ids: Ids) -> str:
        """See `Tokens`."""
        return await _text(self._pages, "/detokenize", {"tokens": ids}, "content")

    async def begun(self, model_id: str, messages: Sequence[Any]) -> Ids:
        """See `Tokens`. A last message of the assistant is left open without being asked to."""
        return await self.of_chat(model_id, messages, {})


def _is_text(content: Any) -> bool:
    if not isinstance(content, list | tuple):
        return True
    return all(isinstance(part, Mapping) and part.get("type") == "text" for part in content)


async def _ids(pages: PageReader, path: str, ask: dict[str, Any]) -> Ids:
    payload = await pages.json(path, ask)
    found = payload.get("tokens") if isinstance(payload, Mapping) else None
    if not isinstance(found, list) or len(found) > MAX_TOKENS:
        raise EngineError(f"the engine's {path} gave no token ids")
    if not all(type(token) is int for token in found):
        raise EngineError(f"the engine's {path} gave no token ids")
    return tuple(found)


async def _text(pages: PageReader, path: str, ask: dict[str, Any], field: str) -> str:
    payload = await pages.json(path, ask)
    found = payload.get(field) if isinstance(payload, Mapping) else None
    if not isinstance(found, str):
        raise EngineError(f"the engine's {path} gave no text")
    return found
