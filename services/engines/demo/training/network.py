"""The model in torch, for training only; `model.py` computes the same in NumPy."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from services.engines.demo.shape import Shape

Weights = dict[str, Any]
"""Tensors by the names of `Shape.tensors`."""


def make_weights(shape: Shape, seed: int) -> Weights:
    """Fresh weights: norms at one, matrices normal with deviation 0.02, less where sums pile up."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for name, size in shape.tensors():
        if len(size) == 1:
            weights[name] = torch.ones(size, requires_grad=True)
            continue
        piles_up = name.endswith(("o_proj.weight", "down_proj.weight"))
        deviation = 0.02 / (2 * shape.layers) ** 0.5 if piles_up else 0.02
        tensor = torch.randn(size, generator=generator) * deviation
        weights[name] = tensor.requires_grad_(True)
    return weights


def compute_logits(weights: Weights, shape: Shape, ids: Any) -> Any:
    """Logits after every id of a (rows, length) batch that starts at position 0."""
    x = functional.embedding(ids, weights["model.embed_tokens.weight"])
    turns = make_turns(shape, ids.shape[1])
    for layer in range(shape.layers):
        x = x + _attend(weights, shape, f"model.layers.{layer}", x, turns)
        x = x + _feed_forward(weights, shape, f"model.layers.{layer}", x)
    x = _norm(x, weights["model.norm.weight"], shape)
    return functional.linear(x, weights["model.embed_tokens.weight"])


def make_turns(shape: Shape, length: int) -> tuple[Any, Any]:
    """Cosines and sines of the rotary embedding (Su et al. 2021), in halves as Llama has them."""
    half = shape.head_width // 2
    speeds = shape.rope_base ** (-torch.arange(half, dtype=torch.float32) / half)
    angles = torch.arange(length, dtype=torch.float32)[:, None] * speeds
    return torch.cos(angles), torch.sin(angles)


def _norm(x: Any, gain: Any, shape: Shape) -> Any:
    return functional.rms_norm(x, (shape.width,), gain, shape.norm_epsilon)


def _rotate(x: Any, turns: tuple[Any, Any]) -> Any:
    cosines, sines = turns
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cosines - right * sines, right * cosines + left * sines), dim=-1)


def _attend(weights: Weights, shape: Shape, prefix: str, x: Any, turns: tuple[Any, Any]) -> Any:
    rows, length, _ = x.shape
    x = _norm(x, weights[f"{prefix}.input_layernorm.weight"], shape)

    def heads(name: str, count: int) -> Any:
        flat = functional.linear(x, weights[f"{prefix}.self_attn.{name}.weight"])
        return flat.view(rows, length, count, shape.head_width).transpose(1, 2)

    group = shape.heads // shape.kv_heads
    query = _rotate(heads("q_proj", shape.heads), turns)
    key = _rotate(heads("k_proj", shape.kv_heads), turns).repeat_interleave(group, dim=1)
    value = heads("v_proj", shape.kv_heads).repeat_interleave(group, dim=1)
    mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    mixed = mixed.transpose(1, 2).reshape(rows, length, shape.width)
    return functional.linear(mixed, weights[f"{prefix}.self_attn.o_proj.weight"])


def _feed_forward(weights: Weights, shape: Shape, prefix: str, x: Any) -> Any:
    x = _norm(x, weights[f"{prefix}.post_attention_layernorm.weight"], shape)
    gate = functional.linear(x, weights[f"{prefix}.mlp.gate_proj.weight"])
    up = functional.linear(x, weights[f"{prefix}.mlp.up_proj.weight"])
    return functional.linear(functional.silu(gate) * up, weights[f"{prefix}.mlp.down_proj.weight"])
