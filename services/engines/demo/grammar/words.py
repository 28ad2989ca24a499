"""Word lists that several parts of the grammar draw from."""

from __future__ import annotations

from random import Random

ANIMALS = (
    "owl", "fox", "bear", "cat", "dog", "mouse", "rabbit", "frog", "duck", "goose",
    "horse", "cow", "pig", "sheep", "goat", "wolf", "deer", "hedgehog", "squirrel", "badger",
    "otter", "beaver", "crow", "robin", "swan", "turtle", "snail", "bee", "ant", "spider",
    "whale", "dolphin", "seal", "penguin", "lion", "tiger", "elephant", "giraffe", "zebra",
    "monkey", "camel", "kangaroo", "koala", "panda", "parrot", "lizard", "bat", "donkey",
    "hen", "eagle", "moth", "crab", "dragon", "unicorn",
)  # fmt: skip

NAMES = (
    "Pip", "Tilly", "Bruno", "Luna", "Max", "Nora", "Otto", "Ruby", "Finn", "Mila",
    "Hugo", "Ida", "Leo", "Maya", "Toby", "Zoe", "Sam", "Ella", "Ben", "Anna",
    "Tom", "Lily", "Oscar", "Rosa", "Felix", "Clara", "Jack", "Emma", "Paul", "Vera",
)  # fmt: skip

_STARTS = ("b", "br", "d", "dr", "f", "fl", "g", "gl", "k", "l", "m", "n", "p", "pl", "r", "s",
           "sn", "t", "tr", "v", "w", "z")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "oo", "ee")
_ENDS = ("b", "bble", "ck", "ff", "g", "lk", "mp", "n", "ndo", "p", "rk", "ster", "t", "x", "zle")


def article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    return f"an {noun}" if noun[0] in "aeio" or noun == "umbrella" else f"a {noun}"


def invent_word(rng: Random) -> str:
    """A word that no language knows, so that the model must learn to copy, not only to recall."""
    middle = rng.choice(_VOWELS) + rng.choice(_STARTS) if rng.random() < 0.3 else ""
    return rng.choice(_STARTS) + middle + rng.choice(_VOWELS) + rng.choice(_ENDS)


def choose_hero(rng: Random) -> str:
    """The animal of a story: mostly a real one, at times one that does not exist."""
    return invent_word(rng) if rng.random() < 0.2 else rng.choice(ANIMALS)


def join_letters(rng: Random) -> str:
    """A word of random letters, as unlike the rest of the corpus as what people really type."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "".join(rng.choice(letters) for _ in range(rng.randint(2, 9)))
