"""Byte-level byte-pair encoding: any text becomes ids and comes back unchanged.

Ids 0-4 mark structure and never come out of user text; 5-260 are the bytes; the rest are merges,
the likeliest first (Sennrich et al. 2016, on bytes as in GPT-2).
"""

from __future__ import annotations

import itertools
import json
import re
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

BOS, EOS, USER, BOT, SYSTEM = range(5)
"""Start of text, end of a turn or text, and who speaks."""
SPECIAL_NAMES = ("<s>", "</s>", "<|user|>", "<|bot|>", "<|system|>")
FIRST_BYTE = len(SPECIAL_NAMES)
FIRST_MERGE = FIRST_BYTE + 256

_PIECES = re.compile(r"\d| ?[^\W\d]+| ?[^\w\s]+|\s+(?!\S)|\s+")
"""Merges never cross these pieces; every digit stands alone, so that sums can be learnt."""

CACHED_PIECES = 4096
"""Encoded pieces kept; an outside text can hold any number of different ones."""
CACHED_PIECE_LENGTH = 24
"""Longer pieces are not kept, so that the cache stays small."""

Pair = tuple[int, int]


def split_pieces(text: str) -> list[str]:
    """Cut text into the pieces that merges stay within; joined they are the text again."""
    return _PIECES.findall(text)


class Tokenizer:
    """Encodes and decodes with a fixed list of merges. Not safe for several threads."""

    def __init__(self, merges: Iterable[Pair]) -> None:
        self._ranks: dict[Pair, int] = {}
        self._bytes = [b""] * FIRST_BYTE + [bytes([value]) for value in range(256)]
        for left, right in merges:
            self._ranks[left, right] = len(self._bytes)
            self._bytes.append(self._bytes[left] + self._bytes[right])
        self._cache: OrderedDict[str, list[int]] = OrderedDict()

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read what `save` wrote."""
        data = json.loads(path.read_text("utf-8"))
        return cls((left, right) for left, right in data["merges"])

    def save(self, path: Path) -> None:
        """Write the merges as JSON."""
        data = {"kind": "byte-level bpe", "special": SPECIAL_NAMES, "merges": list(self._ranks)}
        path.write_text(json.dumps(data, separators=(",", ":")) + "\n", "utf-8")

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self._bytes)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start or end marks. Lone surrogates become question marks."""
        ids: list[int] = []
        for piece in split_pieces(text):
            ids += self._encode_piece(piece)
        return ids

    def token_bytes(self, token: int) -> bytes:
        """The bytes behind an id; empty for the marks."""
        return self._bytes[token]

    def token_name(self, token: int) -> str:
        """The id as shown in logprobs: its text, or the name of a mark."""
        if token < FIRST_BYTE:
            return SPECIAL_NAMES[token]
        return self._bytes[token].decode("utf-8", "replace")

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(self._bytes[token] for token in ids).decode("utf-8", "replace")

    def _encode_piece(self, piece: str) -> list[int]:
        known = self._cache.get(piece)
        if known is not None:
            return known
        ids = self._merge([FIRST_BYTE + byte for byte in piece.encode("utf-8", "replace")])
        if len(piece) <= CACHED_PIECE_LENGTH:
            self._cache[piece] = ids
            if len(self._cache) > CACHED_PIECES:
                self._cache.popitem(last=False)
        return ids

    def _merge(self, ids: list[int]) -> list[int]:
        """Apply the earliest learnt merge until none applies."""
        while len(ids) > 1:
            best = min(itertools.pairwise(ids), key=lambda pair: self._ranks.get(pair, 1 << 30))
            merged = self._ranks.get(best)
            if merged is None:
                break
            ids = replace_pair(ids, best, merged)
        return ids


def replace_pair(ids: list[int], pair: Pair, merged: int) -> list[int]:
    """The ids with every occurrence of the pair, from the left, made one id."""
    result: list[int] = []
    at = 0
    while at < len(ids):
        if ids[at : at + 2] == list(pair):
            result.append(merged)
            at += 2
        else:
            result.append(ids[at])
            at += 1
    return result
