"""What a fake engine writes: always the same story, gone on with from wherever the prompt ends.

Its tokenizer and chat template are its own; like a real engine it knows of the conversation only
what was rendered. A begun answer that is not the story's beginning, because something of it was
lost or repeated, is not gone on with: the story starts anew after a mark that tests notice.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.fakes.knobs import Knobs, token

_TOKENS = re.compile(r"<\|\w+\|>|\n| ?\w+| ?[^\w\s]|\s")
"""Marks, words and signs, with the space before them: cut from left to right without looking ahead,
so that what begins a text in whole tokens has the tokens that begin the text."""
_ANSWER = "<|assistant|>"
_THOUGHT = "<|think|><|unthink|>"
SPOILT = "[the answer was not begun like this]"

_pieces: dict[int, str] = {}
"""Texts of the ids given out so far; an id is a hash, the same in every process."""


def cut(text: str) -> list[str]:
    """The tokens of a text."""
    return _TOKENS.findall(text)


def to_ids(text: str) -> list[int]:
    """The ids of a text."""
    ids = []
    for piece in cut(text):
        number = zlib.crc32(piece.encode()) & 0x7FFFFFFF
        _pieces[number] = piece
        ids.append(number)
    return ids


def to_text(ids: Iterable[int]) -> str | None:
    """The text of ids; None when one is not known."""
    found = [_pieces.get(number) for number in ids]
    return None if None in found else "".join(piece for piece in found if piece is not None)


def render(
    knobs: Knobs, messages: Sequence[Mapping[str, Any]], *, open_end: bool, ask: bool = True
) -> str:
    """A conversation as the model sees it. `open_end`: the last message is not closed; `ask`: the
    assistant is to speak next."""
    closed = messages[:-1] if open_end else messages
    prompt = "".join(f"<|{one['role']}|>{_words(one.get('content'))}<|end|>" for one in closed)
    if open_end:
        begun = _words(messages[-1].get("content"))
        prompt += _ANSWER + (_THOUGHT if knobs.thinks else "")
        prompt += begun.strip() if knobs.trims else begun
    elif ask:
        prompt += _ANSWER
    return prompt


def story(knobs: Knobs) -> list[str]:
    """All tokens of the answer that the model would give by itself."""
    if knobs.text:
        return cut(knobs.text)
    return [token(knobs, position) for position in range(knobs.length)]


def write(
    knobs: Knobs, prompt: str, max_tokens: int | None, stop: Sequence[str] = ()
) -> tuple[list[str], str]:
    """The tokens that follow a prompt, and why they end: "stop" or "length"."""
    begun, whole = _begun(knobs, prompt), story(knobs)
    known = "".join(whole).startswith(begun)
    rest = _after(whole, begun) if known else [SPOILT, *whole]
    rest, reason = _limit(rest, max_tokens)
    rest, reason = _stop(rest, stop, reason)
    if knobs.strips and rest:
        rest = cut("".join(rest).lstrip())
    return ([begun, *rest] if knobs.echoes and begun else rest), reason


def _begun(knobs: Knobs, prompt: str) -> str:
    """What of the answer the prompt holds: all behind the last mark; without marks, as much of its
    end as begins the story."""
    _, mark, begun = prompt.rpartition(_ANSWER)
    if mark:
        return begun.removeprefix(_THOUGHT)
    whole = "".join(story(knobs))
    lengths = range(min(len(whole), len(prompt)), 0, -1)
    return next((whole[:length] for length in lengths if prompt.endswith(whole[:length])), "")


def _after(tokens: list[str], begun: str) -> list[str]:
    left = len(begun)
    for position, piece in enumerate(tokens):
        if left < len(piece):
            return [piece[left:], *tokens[position + 1 :]]
        left -= len(piece)
    return []


def _limit(tokens: list[str], max_tokens: int | None) -> tuple[list[str], str]:
    if max_tokens is None or max_tokens >= len(tokens):
        return tokens, "stop"
    return tokens[:max_tokens], "length"


def _stop(tokens: list[str], stop: Sequence[str], reason: str) -> tuple[list[str], str]:
    """End before the first stop sequence in the tokens, as if the last token had been cut."""
    text = "".join(tokens)
    ends = [text.find(sequence) for sequence in stop if sequence in text]
    if not ends:
        return tokens, reason
    kept: list[str] = []
    left = min(ends)
    for piece in tokens:
        if left <= 0:
            break
        kept.append(piece[:left])
        left -= len(piece)
    return kept, "stop"


def _words(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    return content if isinstance(content, str) else ""
