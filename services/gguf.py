"""Reads from the start of a GGUF file what its context takes in memory.

github.com/ggml-org/ggml, docs/gguf.md, version 3 (2024): little-endian header, then key-value
pairs. Only numbers are read; arrays and strings are skipped. Raises WireError for what is no GGUF.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mesh.errors import WireError

MAGIC = b"GGUF"
MAX_PAIRS = 4_096
MAX_KEY = 65_535
MAX_ARRAY = 4_000_000
"""Items of an array that is skipped; vocabularies have a few hundred thousand."""
MAX_READ = 256 << 20
"""Bytes of one file's key-value pairs."""
KEY_VALUE_BYTES = 2
"""Of one number in the key-value cache (16 bit, the engine's default)."""

_NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how large a context is; zeros where the file does not say."""

    layers: int = 0
    embedding: int = 0
    heads: int = 0
    kv_heads: int = 0
    key_length: int = 0

    def context_bytes(self, tokens: int) -> int:
        """Bytes of keys and values for that many tokens; 1 GiB for 4,096 where it is unknown."""
        if not self.layers or not self.embedding:
            return tokens * 2**18
        heads = self.heads or 1
        width = (self.key_length or self.embedding // heads) * (self.kv_heads or heads)
        return 2 * self.layers * width * tokens * KEY_VALUE_BYTES


def read_shape(file: Path) -> Shape:
    """The shape a file tells. Raises WireError (no GGUF, or damaged) or OSError."""
    with file.open("rb") as stream:
        try:
            return _shape(_read_numbers(stream))
        except struct.error:
            raise WireError("the file ends before its description does") from None


def _shape(numbers: dict[str, int]) -> Shape:
    def one(suffix: str) -> int:
        found = (value for key, value in numbers.items() if key.endswith(suffix))
        return min(max(0, next(found, 0)), 2**31)

    return Shape(
        layers=one(".block_count"),
        embedding=one(".embedding_length"),
        heads=one(".attention.head_count"),
        kv_heads=one(".attention.head_count_kv"),
        key_length=one(".attention.key_length"),
    )


def _read_numbers(stream: BinaryIO) -> dict[str, int]:
    """Every whole number among the pairs, by key."""
    if stream.read(4) != MAGIC:
        raise WireError("this is no GGUF file")
    version, _, pairs = struct.unpack("<IQQ", stream.read(20))
    if version not in (2, 3) or pairs > MAX_PAIRS:
        raise WireError("this version of GGUF is not known")
    found: dict[str, int] = {}
    for _ in range(pairs):
        key = _read_text(stream)
        (kind,) = struct.unpack("<I", stream.read(4))
        value = _read_value(stream, kind)
        if isinstance(value, int):
            found[key] = value
        if stream.tell() > MAX_READ:
            raise WireError("the description of this file is too long")
    return found


def _read_text(stream: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > MAX_KEY:
        raise WireError("a key of this file is too long")
    return stream.read(length).decode("utf-8", "replace")


def _read_value(stream: BinaryIO, kind: int) -> int | None:
    """A whole number; None for everything else, which is skipped."""
    if kind == _STRING:
        _skip(stream, struct.unpack("<Q", stream.read(8))[0])
        return None
    if kind == _ARRAY:
        _skip_array(stream)
        return None
    if kind not in _NUMBERS:
        raise WireError("this file holds a value of an unknown kind")
    form = _NUMBERS[kind]
    (value,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _skip_array(stream: BinaryIO) -> None:
    kind, items = struct.unpack("<IQ", stream.read(12))
    if items > MAX_ARRAY:
        raise WireError("an array of this file is too long")
    if kind in _NUMBERS:
        _skip(stream, items * struct.calcsize(_NUMBERS[kind]))
    elif kind == _STRING:
        for _ in range(items):
            _skip(stream, struct.unpack("<Q", stream.read(8))[0])
    else:
        raise WireError("this file holds an array of an unknown kind")


def _skip(stream: BinaryIO, length: int) -> None:
    if length > MAX_READ:
        raise WireError("a value of this file is too long")
    stream.seek(length, 1)
