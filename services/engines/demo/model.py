"""A Llama-architecture decoder in NumPy, with a cache of keys and values.

Every row is computed by the same calls whatever is computed beside it: matrices are applied row by
row (a stack of vector-matrix products) and attention looks at whole blocks. So a text read at once
and the same text generated id by id leave the same bits in the cache, and an answer continued
elsewhere is the answer that would have come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from safetensors import safe_open

from services.engines.demo.shape import Shape

if TYPE_CHECKING:  # importing numpy.typing costs memory that a node should not pay
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float32]"

BLOCK = 64
"""Positions attended to, and at most read, at a time."""


@dataclass(slots=True)
class Cache:
    """Keys and values of the positions read so far."""

    keys: Floats
    """(layers, kv_heads, head_width, context)"""
    values: Floats
    """(layers, kv_heads, context, head_width)"""
    length: int = 0

    def copy(self) -> Cache:
        """A second future for the same past."""
        return Cache(self.keys.copy(), self.values.copy(), self.length)


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one layer, turned and joined so that a row needs four products."""

    attention_norm: Floats
    query_key_value: Floats
    output: Floats
    hidden_norm: Floats
    gate_up: Floats
    down: Floats


class Llama:
    """The weights, and how they are applied. Holds no state of any text."""

    def __init__(self, path: Path) -> None:
        """Load a safetensors file with the names of `Shape.tensors`. Raises ValueError."""
        with safe_open(path, framework="numpy") as file:
            self.shape = Shape.from_metadata(file.metadata())
            weights = {
                name: _read(file.get_tensor(name), name, size)
                for name, size in self.shape.tensors()
            }
        self._embedding = np.ascontiguousarray(weights["model.embed_tokens.weight"].T)
        self._norm = weights["model.norm.weight"]
        self._layers = [_join(weights, f"model.layers.{i}") for i in range(self.shape.layers)]
        self._cosines, self._sines = _make_turns(self.shape)

    def make_cache(self) -> Cache:
        """An empty cache for one text of at most `shape.context` ids."""
        shape = self.shape
        heads, length = shape.kv_heads, -(-shape.context // BLOCK) * BLOCK
        return Cache(
            np.zeros((shape.layers, heads, shape.head_width, length), np.float32),
            np.zeros((shape.layers, heads, length, shape.head_width), np.float32),
        )

    def read(self, cache: Cache, ids: Sequence[int]) -> Floats:
        """Append 1 to `room(cache)` ids to the cache; return the logits after the last one."""
        start, rows = cache.length, len(ids)
        x = np.ascontiguousarray(self._embedding[:, np.asarray(ids)].T)
        with np.errstate(over="ignore"):
            for index, layer in enumerate(self._layers):
                x = x + self._attend(layer, index, cache, x, start)
                x = x + self._feed_forward(layer, x)
        cache.length = start + rows
        logits: Floats = _apply(self._normalize(x[-1:], self._norm), self._embedding)[0]
        return logits

    def room(self, cache: Cache) -> int:
        """How many ids the next `read` may take: up to the end of the block or of the context."""
        return min(BLOCK - cache.length % BLOCK, self.shape.context - cache.length)

    def _normalize(self, x: Floats, gain: Floats) -> Floats:
        squares = np.matmul(x[:, None, :], x[:, :, None])[:, 0]
        normal: Floats = x / np.sqrt(squares / x.shape[-1] + self.shape.norm_epsilon) * gain
        return normal

    def _attend(self, layer: _Layer, index: int, cache: Cache, x: Floats, start: int) -> Floats:
        shape, rows = self.shape, x.shape[0]
        joined = _apply(self._normalize(x, layer.attention_norm), layer.query_key_value)
        heads = joined.reshape(rows, shape.heads + 2 * shape.kv_heads, shape.head_width)
        turned = self._turn(heads[:, : shape.heads + shape.kv_heads], start)
        query, key = turned[:, : shape.heads], turned[:, shape.heads :]
        cache.keys[index, :, :, start : start + rows] = key.transpose(1, 2, 0)
        cache.values[index, :, start : start + rows] = heads[
            :, shape.heads + shape.kv_heads :
        ].transpose(1, 0, 2)
        seen = (start // BLOCK + 1) * BLOCK
        groups = query.reshape(rows, shape.kv_heads, -1, shape.head_width)
        scores = np.matmul(groups, cache.keys[index, :, :, :seen])
        shares = _softmax(scores * np.float32(shape.head_width**-0.5), start)
        mixed = np.matmul(shares, cache.values[index, :, :seen])
        return _apply(mixed.reshape(rows, shape.width), layer.output)

    def _turn(self, heads: Floats, start: int) -> Floats:
        """Rotate each head by its position (Su et al. 2021)."""
        end, half = start + heads.shape[0], self.shape.head_width // 2
        cosines, sines = self._cosines[start:end], self._sines[start:end]
        left, right = heads[..., :half], heads[..., half:]
        turned = np.empty_like(heads)
        turned[..., :half] = left * cosines - right * sines
        turned[..., half:] = right * cosines + left * sines
        return turned

    def _feed_forward(self, layer: _Layer, x: Floats) -> Floats:
        both = _apply(self._normalize(x, layer.hidden_norm), layer.gate_up)
        gate, up = both[:, : self.shape.hidden], both[:, self.shape.hidden :]
        return _apply(gate / (np.exp(-gate) + 1) * up, layer.down)


def _apply(x: Floats, matrix: Floats) -> Floats:
    """Each row of x times the matrix, by one vector-matrix product a row."""
    product: Floats = np.matmul(x[:, None, :], matrix)[:, 0]
    return product


def _softmax(scores: Floats, start: int) -> Floats:
    """Shares over the block for each row; later positions get none."""
    rows, seen = scores.shape[0], scores.shape[-1]
    later = np.arange(seen) > np.arange(start, start + rows)[:, None]
    scores[np.broadcast_to(later[:, None, None, :], scores.shape)] = -np.inf
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Floats = shares / shares.sum(axis=-1, keepdims=True)
    return result


def _read(tensor: NDArray[np.floating], name: str, size: tuple[int, ...]) -> Floats:
    if tensor.shape != size:
        raise ValueError(f"{name} has shape {tensor.shape}, not {size}")
    return tensor.astype(np.float32)


def _join(weights: dict[str, Floats], prefix: str) -> _Layer:
    def turned(*names: str) -> Floats:
        matrices = [weights[f"{prefix}.{name}.weight"] for name in names]
        return np.ascontiguousarray(np.concatenate(matrices).T)

    return _Layer(
        attention_norm=weights[f"{prefix}.input_layernorm.weight"],
        query_key_value=turned("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        output=turned("self_attn.o_proj"),
        hidden_norm=weights[f"{prefix}.post_attention_layernorm.weight"],
        gate_up=turned("mlp.gate_proj", "mlp.up_proj"),
        down=turned("mlp.down_proj"),
    )


def _make_turns(shape: Shape) -> tuple[Floats, Floats]:
    half = shape.head_width // 2
    speeds = shape.rope_base ** (-np.arange(half) / half)
    angles = np.arange(shape.context)[:, None, None] * speeds
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
