"""The text the demo model is trained on: conversations drawn from a grammar of our own.

Everything is a pure function of the seed; nothing is read from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from services.engines.demo.grammar.definitions import definition_exchange
from services.engines.demo.grammar.poems import poem_exchange
from services.engines.demo.grammar.stories import ask_for_story, story_exchange, tell_story
from services.engines.demo.grammar.sums import count_exchange, sum_exchange
from services.engines.demo.grammar.talk import (
    repeat_exchange,
    self_exchange,
    talk_exchange,
    unknown_exchange,
)
from services.engines.demo.grammar.words import article, choose_hero, join_letters

Exchange = tuple[str, str]
"""What the user says, and what the model answers."""


@dataclass(frozen=True, slots=True)
class Document:
    """One training text: a conversation, or with `plain` a text that stands alone."""

    exchanges: tuple[Exchange, ...] = ()
    system: str = ""
    plain: str = ""


_KINDS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (story_exchange, 32),
    (sum_exchange, 24),
    (poem_exchange, 8),
    (unknown_exchange, 12),
    (repeat_exchange, 8),
    (talk_exchange, 7),
    (definition_exchange, 4),
    (self_exchange, 3),
    (count_exchange, 2),
)
_MAKERS = tuple(maker for maker, _ in _KINDS)
_WEIGHTS = tuple(weight for _, weight in _KINDS)

_SYSTEMS = (
    "You are a helpful assistant.", "You are a friendly assistant.", "Answer briefly.",
    "You are a helpful, honest assistant. Answer in English.", "Be kind.", "You are a poet.",
    "You are a story teller for children. Use simple words.", "You are a pirate.",
    "You are an expert. Think step by step and be precise.", "Today is Monday. Be brief.",
    "You are a large language model. Follow the instructions of the user.",
    "You are a chat bot in a web page. Do not use bad words. Keep your answers short.",
)  # fmt: skip
_AGAIN = ("Another one, please.", "One more!", "Another one", "Again, please.", "More!",
          "Tell me another one.", "another story")  # fmt: skip
_SWITCH = ("Now about {a}.", "And now {a}.", "The same with {a}, please.", "Now one about {a}",
           "What about {a}?")  # fmt: skip
_BEFORE = ("", "", "Hi! ", "Hello, ", "Please: ", "OK. ", "Question: ")
_AFTER = ("", "", " Please.", " Thanks!", " Answer briefly.", " Be brief.", " Keep it short.",
          " Answer with one number.", " Answer in one sentence.")  # fmt: skip
"""What people say around a request without changing it."""

MAX_TURNS = 7
"""Enough for conversations to fill the context, so that every position is trained."""


def make_documents(seed: int, count: int) -> Iterator[Document]:
    """Yield `count` documents; the same seed gives the same ones."""
    rng = Random(seed)
    for _ in range(count):
        yield make_document(rng)


def make_document(rng: Random) -> Document:
    """One document: mostly a single exchange, at times several, at times plain text."""
    draw = rng.random()
    if draw < 0.05:
        return Document(plain=_plain_text(rng))
    system = _system_prompt(rng) if rng.random() < 0.2 else ""
    turns = 1 if draw < 0.86 else rng.randint(2, MAX_TURNS)
    exchanges: list[Exchange] = []
    while len(exchanges) < turns:
        exchanges += _story_series(rng) if rng.random() < 0.12 and turns > 1 else [_exchange(rng)]
    return Document(exchanges=tuple(exchanges[:MAX_TURNS]), system=system)


def _exchange(rng: Random) -> Exchange:
    maker = rng.choices(_MAKERS, _WEIGHTS)[0]
    asked, answer = maker(rng)
    if maker is repeat_exchange or rng.random() > 0.12:
        return asked, answer
    return rng.choice(_BEFORE) + asked + rng.choice(_AFTER), answer


def _story_series(rng: Random) -> list[Exchange]:
    """A story, and what people ask next: one more, or the same about another animal."""
    hero = choose_hero(rng)
    series = [(ask_for_story(rng, hero), tell_story(rng, hero))]
    if rng.random() < 0.5:
        series.append((rng.choice(_AGAIN), tell_story(rng, hero)))
    else:
        other = choose_hero(rng)
        series.append((rng.choice(_SWITCH).format(a=article(other)), tell_story(rng, other)))
    return series


def _system_prompt(rng: Random) -> str:
    """A system prompt, often with words the model cannot know: it must learn not to mind."""
    text = " ".join(rng.sample(_SYSTEMS, rng.randint(1, 2)))
    if rng.random() < 0.4:
        text += " " + " ".join(join_letters(rng) for _ in range(rng.randint(1, 12))) + "."
    return text


def _plain_text(rng: Random) -> str:
    return tell_story(rng, choose_hero(rng))
