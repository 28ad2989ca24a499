from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from services.engines.demo.model import BLOCK, Floats, Llama
from services.engines.demo.shape import Shape

Doubles = NDArray[np.float64]


def read_in_steps(model: Llama, ids: list[int], step: int) -> tuple[list[Floats], Floats, Floats]:
    """Logits at every stop, and what the cache holds after reading ids `step` at a time."""
    cache, logits, at = model.make_cache(), [], 0
    while at < len(ids):
        end = min(at + step, at + model.room(cache), len(ids))
        logits.append(model.read(cache, ids[at:end]))
        at = end
    return logits, cache.keys, cache.values


def reference_logits(folder: Path, shape: Shape, ids: list[int]) -> Doubles:
    """The textbook's Llama in double precision: the whole text at once, without a cache."""
    weights = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}

    def norm(x: Doubles, name: str) -> Doubles:
        mean = (x**2).mean(axis=-1, keepdims=True)
        return np.asarray(x / np.sqrt(mean + shape.norm_epsilon) * weights[name])

    def heads(x: Doubles, count: int, *, turn: bool) -> Doubles:
        split = x.reshape(len(ids), count, shape.head_width).transpose(1, 0, 2)
        if not turn:
            return split
        half = shape.head_width // 2
        angle = np.arange(len(ids))[:, None] * shape.rope_base ** (-np.arange(half) / half)
        numbers = (split[..., :half] + 1j * split[..., half:]) * np.exp(1j * angle)
        return np.concatenate((numbers.real, numbers.imag), axis=-1)

    x = weights["model.embed_tokens.weight"][ids]
    later = np.triu(np.ones((len(ids), len(ids)), bool), 1)
    for layer in range(shape.layers):
        p = f"model.layers.{layer}."
        y = norm(x, f"{p}input_layernorm.weight")
        q = heads(y @ weights[f"{p}self_attn.q_proj.weight"].T, shape.heads, turn=True)
        k = heads(y @ weights[f"{p}self_attn.k_proj.weight"].T, shape.kv_heads, turn=True)
        v = heads(y @ weights[f"{p}self_attn.v_proj.weight"].T, shape.kv_heads, turn=False)
        k, v = (np.repeat(t, shape.heads // shape.kv_heads, axis=0) for t in (k, v))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(shape.head_width)
        shares = np.exp(np.where(later, -np.inf, scores))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ v
        flat = mixed.transpose(1, 0, 2).reshape(len(ids), -1)
        x = x + flat @ weights[f"{p}self_attn.o_proj.weight"].T
        y = norm(x, f"{p}post_attention_layernorm.weight")
        gate = y @ weights[f"{p}mlp.gate_proj.weight"].T
        up = y @ weights[f"{p}mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[f"{p}mlp.down_proj.weight"].T
    return np.asarray(norm(x, "model.norm.weight") @ weights["model.embed_tokens.weight"].T)


def test_logits_are_those_of_the_textbook(tiny_folder: Path, tiny_model: Llama) -> None:
    ids = np.random.default_rng(3).integers(0, tiny_model.shape.vocabulary, 90).tolist()
    logits, _, _ = read_in_steps(tiny_model, ids, 1)
    wanted = reference_logits(tiny_folder, tiny_model.shape, ids)
    np.testing.assert_allclose(np.stack(logits), wanted, atol=2e-3)


@pytest.mark.parametrize("step", [2, 7, 33, BLOCK])
def test_reading_at_once_or_singly_gives_the_same_bits(model: Llama, step: int) -> None:
    ids = np.random.default_rng(4).integers(5, 1024, 150).tolist()
    single, keys, values = read_in_steps(model, ids, 1)
    joined, other_keys, other_values = read_in_steps(model, ids, step)
    assert np.array_equal(single[-1], joined[-1])
    assert np.array_equal(keys, other_keys)
    assert np.array_equal(values, other_values)


def test_a_copied_cache_goes_its_own_way(tiny_model: Llama) -> None:
    cache = tiny_model.make_cache()
    tiny_model.read(cache, [1, 2, 3])
    twin = cache.copy()
    tiny_model.read(cache, [4])
    assert np.array_equal(
        tiny_model.read(twin, [5]), read_in_steps(tiny_model, [1, 2, 3, 5], 4)[0][-1]
    )


def test_the_context_can_be_filled_and_no_more(tiny_model: Llama) -> None:
    cache, room = tiny_model.make_cache(), []
    while tiny_model.room(cache):
        room.append(tiny_model.room(cache))
        tiny_model.read(cache, [9] * room[-1])
    assert sum(room) == tiny_model.shape.context
    assert max(room) == BLOCK


def test_a_tensor_of_the_wrong_size_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    weights = load_file(tiny_folder / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"][:-1]
    shape = Shape(vocabulary=263, context=160, width=32, layers=2, heads=4, kv_heads=2, hidden=48)
    save_file(weights, tmp_path / "bad.safetensors", metadata=shape.to_metadata())
    with pytest.raises(ValueError, match=r"model\.norm\.weight has shape"):
        Llama(tmp_path / "bad.safetensors")
