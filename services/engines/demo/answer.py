"""Writes the answers to one request, a step at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from mesh.errors import ContextTooLong, InvalidRequest
from mesh.jobs import Chunk, Finish, Usage
from services.engines.demo.chat_template import render_prompt
from services.engines.demo.logprobs import describe_logprobs, join_logprobs
from services.engines.demo.model import Cache, Floats, Llama
from services.engines.demo.request import Request
from services.engines.demo.sampling import adjust, choose_token, draw_uniform, mute_marks
from services.engines.demo.text_stream import TextStream
from services.engines.demo.tokenizer import BOS, EOS, Tokenizer

Step = Chunk | Finish | None
"""What a step gives: None after reading a block of the prompt."""

PIECE_TOKENS = 16
"""Tokens in one chunk when nobody watches the answer grow."""


def write_answers(model: Llama, tokenizer: Tokenizer, request: Request) -> Iterator[Step]:
    """Yield the chunks of every choice in turn, then one Finish. Raises InvalidRequest and kin."""
    prompt = encode_prompt(tokenizer, request)
    limit = count_room(len(prompt), request, model.shape.context)
    _check_ids((*prompt, *request.continued), tokenizer)
    count = request.settings.choices
    choices = [Choice(tokenizer, request, index, limit) for index in range(count)]
    choices[0].replay(request.continued)
    if not choices[0].reason:
        cache = model.make_cache()
        logits = yield from read_blocks(model, cache, (*prompt, *request.continued))
        for choice in choices:
            own = cache.copy() if count > 1 else cache
            chunks = _write_choice(model, own, choice, logits)
            yield from chunks if request.stream else join_chunks(chunks)
    reasons = tuple(choice.reason for choice in choices)
    yield Finish(reasons, Usage(len(prompt), sum(choice.tokens for choice in choices)))


def encode_prompt(tokenizer: Tokenizer, request: Request) -> list[int]:
    """Ids of the prompt. A prompt that comes as ids is taken as it is."""
    if request.kind == "chat":
        return render_prompt(tokenizer, request.turns)
    if isinstance(request.prompt, str):
        return [BOS, *tokenizer.encode(request.prompt)]
    return list(request.prompt)


def count_room(prompt: int, request: Request, context: int) -> int:
    """Tokens an answer may have: what is asked for, cut to what fits. Raises ContextTooLong."""
    room = context - prompt
    if room < 1:
        raise ContextTooLong(
            f"the demo model's context is {context} tokens, but the request alone has {prompt}; "
            "shorten it",
            param="messages" if request.kind == "chat" else "prompt",
        )
    asked = request.settings.max_tokens
    return room if asked is None else min(asked, room)


def read_blocks(model: Llama, cache: Cache, ids: Sequence[int]) -> Generator[None, None, Floats]:
    """Read ids a block at a time, with a pause after each; return the logits after the last."""
    while True:
        end = model.room(cache)
        logits = model.read(cache, ids[:end])
        yield None
        ids = ids[end:]
        if not ids:
            return logits


class Choice:
    """One answer on its way: its ids, its text, and why it ended."""

    def __init__(self, tokenizer: Tokenizer, request: Request, index: int, limit: int) -> None:
        self._tokenizer = tokenizer
        self._request = request
        self._limit = limit
        self._text = TextStream(request.settings.stop)
        self._counts: Counter[int] = Counter()
        self.index = index
        self.tokens = 0
        self.reason = "" if limit else "length"
        """Empty while the answer goes on, then stop or length."""

    def replay(self, ids: Sequence[int]) -> None:
        """Take ids that were given out before. Raises InvalidRequest when they go on too long."""
        for token in ids:
            if self.reason:
                raise InvalidRequest(
                    "continue_token_ids go on after the answer's end", param="continue_token_ids"
                )
            self._take(token)

    def advance(self, logits: Floats) -> Chunk | None:
        """Draw the next token from the logits. None when the answer ended and has no more text."""
        settings = self._request.settings
        muted = mute_marks(logits)
        uniform = draw_uniform(settings.seed, self.index, self.tokens)
        token = choose_token(adjust(muted, settings, self._counts), settings, uniform)
        offset = self._text.length
        text = self._take(token)
        if token == EOS:
            # The mark goes with the last text, so that whoever continues knows it was given out.
            return Chunk(text, self.index, (EOS,)) if text else None
        logprobs = None
        if settings.logprobs is not None:
            logprobs = describe_logprobs(
                self._request.kind, self._tokenizer, muted, token, settings.logprobs, offset
            )
        return Chunk(text, self.index, (token,), logprobs=logprobs)

    def _take(self, token: int) -> str:
        """Add a token; return its text, and the text held back when it is the last."""
        if token == EOS:
            self.reason = "stop"
            return self._text.flush()
        self.tokens += 1
        self._counts[token] += 1
        text = self._text.push(self._tokenizer.token_bytes(token))
        if self._text.stopped:
            self.reason = "stop"
        elif self.tokens >= self._limit:
            self.reason = "length"
            text += self._text.flush()
        return text


def _write_choice(model: Llama, cache: Cache, choice: Choice, logits: Floats) -> Iterator[Chunk]:
    while chunk := choice.advance(logits):
        yield chunk
        if choice.reason:
            break
        logits = model.read(cache, chunk.token_ids or ())


def join_chunks(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Fewer, longer chunks of the same answer."""
    held: Chunk | None = None
    for chunk in chunks:
        held = chunk if held is None else _join(held, chunk)
        if len(held.token_ids or ()) >= PIECE_TOKENS:
            yield held
            held = None
    if held is not None:
        yield held


def _join(first: Chunk, second: Chunk) -> Chunk:
    logprobs = first.logprobs
    if logprobs is not None and second.logprobs is not None:
        logprobs = join_logprobs(dict(logprobs), dict(second.logprobs))
    ids = (*(first.token_ids or ()), *(second.token_ids or ()))
    return replace(first, text=first.text + second.text, token_ids=ids, logprobs=logprobs)


def _check_ids(ids: Sequence[int], tokenizer: Tokenizer) -> None:
    if any(not 0 <= token < tokenizer.size for token in ids):
        raise InvalidRequest(f"token ids are from 0 to {tokenizer.size - 1}", param="prompt")
