"""Seeded mutations of byte strings: blind ones, and ones that keep frames well-formed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgpack

MAX_INPUT = 64 * 1024
EDGES = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16, 2**31, 2**32 - 1, 2**53, 2**63, -1, -(2**31))


def mutate(rng: Random, data: bytes, other: bytes) -> bytes:
    """A changed copy of `data`; `other` is there to be spliced in."""
    for _ in range(1 << rng.randrange(4)):
        data = rng.choice(MUTATIONS)(rng, data, other)
    return data[:MAX_INPUT]


def flip_bit(rng: Random, data: bytes, other: bytes) -> bytes:
    if not data:
        return b"\0"
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(EDGES) & (2 ** (8 * size) - 1)
    replaced: bytes = value.to_bytes(size, "big")
    return data[:at] + replaced + data[at + size :]


def insert(rng: Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 5, 40, 300))) + data[at:]


def delete(rng: Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 2, 4, 30, 1000)) :]


def repeat(rng: Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    piece = data[at : at + rng.choice((1, 5, 50, 5000))]
    return data[:at] + piece * rng.choice((2, 3, 20, 200)) + data[at:]


def splice(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def change_frame(rng: Random, data: bytes, other: bytes) -> bytes:
    """Change a value inside one frame and repair the frame's length."""
    frames = cut_frames(data)
    if not frames:
        return data
    chosen = rng.randrange(len(frames))
    try:
        fields = msgpack.unpackb(frames[chosen], strict_map_key=False)
    except (ValueError, TypeError):
        return data
    frames[chosen] = msgpack.packb(change_value(rng, fields))
    return join_frames(frames)


def move_frame(rng: Random, data: bytes, other: bytes) -> bytes:
    """Drop, double or swap whole frames."""
    frames = cut_frames(data) + cut_frames(other)[:3]
    if not frames:
        return data
    rng.choice((frames.reverse, frames.sort, lambda: rng.shuffle(frames)))()
    return join_frames(frames[: rng.randrange(1, len(frames) + 1)] * rng.choice((1, 1, 2)))


Mutation = Callable[[Random, bytes, bytes], bytes]
MUTATIONS: tuple[Mutation, ...] = (
    flip_bit,
    overwrite,
    insert,
    delete,
    repeat,
    splice,
    change_frame,
    change_frame,
    change_frame,
    move_frame,
)


def change_value(rng: Random, value: Any) -> Any:
    """The same value with one thing in it changed."""
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:at] + value[at + 1 :] if rng.random() < 0.7 else [*value, *value[at:]]
        return [change_value(rng, item) if i == at else item for i, item in enumerate(value)]
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return {**value, key: change_value(rng, value[key])}
    if isinstance(value, bytes) and rng.random() < 0.5:
        return rng.randbytes(rng.choice((0, 1, 32, 64, 2000, 16_300)))
    return rng.choice(
        (rng.choice(EDGES[:-2]), "", "x" * 300, b"", None, [], {}, True, 1.5, float("nan"), [[]])
    )


def cut_frames(data: bytes) -> list[bytes]:
    """The bodies of length-prefixed frames, as far as there are any."""
    frames: list[bytes] = []
    at = 0
    while at + 4 <= len(data) and len(frames) < 200:
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 4 + size > len(data):
            break
        frames.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return frames


def join_frames(frames: list[bytes]) -> bytes:
    """Length-prefixed frames of these bodies."""
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
