"""How a conversation becomes one row of ids, in training and in answering alike.

<s> [<|system|> text </s>] (<|user|> text </s> <|bot|> text </s>)... <|user|> text </s> <|bot|>
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from services.engines.demo.tokenizer import BOS, BOT, EOS, SYSTEM, USER, Tokenizer

Speaker = Literal["system", "user", "assistant"]
_MARKS: dict[Speaker, int] = {"system": SYSTEM, "user": USER, "assistant": BOT}

Turn = tuple[Speaker, str]


def render_turn(tokenizer: Tokenizer, turn: Turn) -> list[int]:
    """Ids of one turn, with its speaker and its end."""
    speaker, text = turn
    return [_MARKS[speaker], *tokenizer.encode(text), EOS]


def render_prompt(tokenizer: Tokenizer, turns: Iterable[Turn]) -> list[int]:
    """Ids of a conversation up to where the model is to answer."""
    ids = [BOS]
    for turn in turns:
        ids += render_turn(tokenizer, turn)
    return [*ids, BOT]
