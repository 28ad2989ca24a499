"""Draws tokens. Every draw is a pure function of logits, settings, seed, choice and position."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

from services.engines.demo.model import Floats
from services.engines.demo.request import Settings
from services.engines.demo.tokenizer import EOS, FIRST_BYTE

GREEDY_BELOW = 1e-4
"""Temperatures under this are as good as zero and would only overflow."""


def draw_uniform(seed: int, choice: int, position: int) -> float:
    """A number in [0, 1) that looks random: a keyed hash, the same on every machine."""
    text = f"{seed}:{choice}:{position}".encode()
    digest = hashlib.blake2b(text, digest_size=8, person=b"demo-draw").digest()
    return (int.from_bytes(digest) >> 11) * 2.0**-53


def mute_marks(logits: Floats) -> Floats:
    """Logits in which the marks of structure, but for the end, can never win."""
    muted = logits.copy()
    muted[:FIRST_BYTE] = -np.inf
    muted[EOS] = logits[EOS]
    return muted


def adjust(logits: Floats, settings: Settings, counts: Counter[int]) -> Floats:
    """Add biases and subtract OpenAI's penalties for tokens that the answer holds already."""
    if not settings.bias and not settings.frequency_penalty and not settings.presence_penalty:
        return logits
    adjusted = logits.copy()
    for token, bias in settings.bias:
        if 0 <= token < len(adjusted):
            adjusted[token] += bias
    for token, count in counts.items():
        adjusted[token] -= settings.frequency_penalty * count + settings.presence_penalty
    return adjusted


def choose_token(logits: Floats, settings: Settings, uniform: float) -> int:
    """The likeliest token at temperature 0; else a draw from the top-k, top-p tokens."""
    if settings.temperature < GREEDY_BELOW:
        return int(np.argmax(logits))
    scores = logits.astype(np.float64) / settings.temperature
    order = np.argsort(-scores, kind="stable")
    if settings.top_k:
        order = order[: settings.top_k]
    weights = np.exp(scores[order] - scores[order[0]])
    reached = np.cumsum(weights / weights.sum())
    kept = int(np.searchsorted(reached, settings.top_p)) + 1
    reached = reached[:kept]
    place = int(np.searchsorted(reached, uniform * reached[-1], side="right"))
    return int(order[min(place, len(reached) - 1)])


def log_probabilities(logits: Floats) -> Floats:
    """Natural logarithms of the model's own probabilities, before any setting."""
    shifted = logits - logits.max()
    result: Floats = shifted - np.log(np.exp(shifted).sum())
    return result
