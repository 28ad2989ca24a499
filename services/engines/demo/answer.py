"""Writes the answers to one request, a step at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence

from mesh.errors import ContextTooLong, InvalidRequest
from mesh.jobs import Chunk, Emitted, Finish, Usage
from services.engines.demo.chat_template import render_prompt
from services.engines.demo.logprobs import describe_logprobs
from services.engines.demo.model import Cache, Floats, Llama
from services.engines.demo.request import Request
from services.engines.demo.sampling import adjust, choose_token, draw_uniform, mute_marks
from services.engines.demo.text_stream import TextStream
from services.engines.demo.tokenizer import BOS, EOS, Tokenizer
from services.engines.pieces import Pieces

Step = Chunk | Finish | None
"""What a step gives: None after reading a block of the prompt."""


def write_answers(model: Llama, tokenizer: Tokenizer, request: Request) -> Iterator[Step]:
    """Yield the chunks of every choice in turn, then one Finish. Raises InvalidRequest and kin."""
    prompt = encode_prompt(tokenizer, request)
    limit = count_room(len(prompt), request, model.shape.context)
    _check_ids(prompt, tokenizer)
    count = request.settings.choices
    emitted = request.resume or (Emitted(),) * count
    given = [given_ids(tokenizer, one) for one in emitted]
    choices = [Choice(tokenizer, request, index, limit) for index in range(count)]
    for choice, one, ids in zip(choices, emitted, given, strict=True):
        yield from choice.resume(one, ids)
    if not all(choice.reason for choice in choices):
        cache = model.make_cache()
        logits = yield from read_blocks(model, cache, prompt)
        for choice, ids in zip(choices, given, strict=True):
            if choice.reason:
                continue
            own = cache.copy() if count > 1 else cache
            yield from _write_choice(model, own, choice, ids, logits, stream=request.stream)
    reasons = tuple(choice.reason for choice in choices)
    yield Finish(reasons, Usage(len(prompt), sum(choice.tokens for choice in choices)))


def given_ids(tokenizer: Tokenizer, emitted: Emitted) -> list[int]:
    """Ids that lead to what was given out: its own where they do, else the text's."""
    ids = emitted.token_ids
    if ids is not None:
        _check_ids(ids, tokenizer)
        if tokenizer.decode(ids).startswith(emitted.text):
            return list(ids)
    return tokenizer.encode(emitted.text)


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

    def resume(self, emitted: Emitted, ids: Sequence[int]) -> Iterator[Chunk]:
        """Take what was given out before; yield text of `ids` that was not.

        Raises InvalidRequest when ids that were told go on too long. A text may: cut into other
        tokens than it was written in it can have more of them, and then nothing is added.
        """
        text = ""
        for token in ids:
            if self.reason and emitted.token_ids is None:
                break
            if self.reason:
                raise InvalidRequest("resume goes on after the answer's end", param="resume")
            text += self._take(token)
        if emitted.finished and not self.reason:
            self.reason = "stop"
        missing = self._text.resume(text, emitted.text)
        if missing and not emitted.finished:
            yield Chunk(missing, self.index, ())

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


def _write_choice(
    model: Llama, cache: Cache, choice: Choice, ids: Sequence[int], logits: Floats, *, stream: bool
) -> Iterator[Step]:
    """The rest of a choice after `ids`; `cache` and `logits` stand at the end of the prompt."""
    if ids:
        logits = yield from read_blocks(model, cache, ids)
    pieces = Pieces() if not stream else Pieces(1)
    while chunk := choice.advance(logits):
        yield from pieces.push(chunk)
        if choice.reason:
            break
        logits = model.read(cache, chunk.token_ids or ())
    yield from pieces.flush()


def _check_ids(ids: Sequence[int], tokenizer: Tokenizer) -> None:
    if any(not 0 <= token < tokenizer.size for token in ids):
        raise InvalidRequest(f"token ids are from 0 to {tokenizer.size - 1}", param="prompt")
