"""Learns the merges of the tokenizer from text."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

from services.engines.demo.tokenizer import (
    FIRST_BYTE,
    FIRST_MERGE,
    Pair,
    replace_pair,
    split_pieces,
)


def learn_merges(texts: Iterable[str], vocabulary: int) -> list[Pair]:
    """The most frequent pairs, one after the other, until the vocabulary has that many ids."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split_pieces(text))
    words = [[FIRST_BYTE + byte for byte in piece.encode()] for piece in counts]
    weights = list(counts.values())
    merges: list[Pair] = []
    while FIRST_MERGE + len(merges) < vocabulary:
        pair = _most_frequent(words, weights)
        merged = FIRST_MERGE + len(merges)
        words = [replace_pair(word, pair, merged) if pair[0] in word else word for word in words]
        merges.append(pair)
    return merges


def _most_frequent(words: list[list[int]], weights: list[int]) -> Pair:
    """The pair seen most often; of equals the one with the smaller ids."""
    pairs: Counter[Pair] = Counter()
    for word, weight in zip(words, weights, strict=True):
        for pair in itertools.pairwise(word):
            pairs[pair] += weight
    return min(pairs, key=lambda pair: (-pairs[pair], pair))
