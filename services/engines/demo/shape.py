"""The size of a Llama model, shared by training and running."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of a Llama-architecture decoder; the output matrix is the embedding's."""

    vocabulary: int = 1024
    context: int = 512
    """Tokens of prompt and answer together."""
    width: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 3
    """Grouped-query attention: heads / kv_heads query heads share one key and value head."""
    hidden: int = 512
    """Width inside the SwiGLU block."""
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Numbers in one attention head."""
        return self.width // self.heads

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the weights, as other programs for Llama models name them."""
        kv_width = self.kv_heads * self.head_width
        yield "model.embed_tokens.weight", (self.vocabulary, self.width)
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}"
            yield f"{prefix}.input_layernorm.weight", (self.width,)
            yield f"{prefix}.self_attn.q_proj.weight", (self.width, self.width)
            yield f"{prefix}.self_attn.k_proj.weight", (kv_width, self.width)
            yield f"{prefix}.self_attn.v_proj.weight", (kv_width, self.width)
            yield f"{prefix}.self_attn.o_proj.weight", (self.width, self.width)
            yield f"{prefix}.post_attention_layernorm.weight", (self.width,)
            yield f"{prefix}.mlp.gate_proj.weight", (self.hidden, self.width)
            yield f"{prefix}.mlp.up_proj.weight", (self.hidden, self.width)
            yield f"{prefix}.mlp.down_proj.weight", (self.width, self.hidden)
        yield "model.norm.weight", (self.width,)

    def to_metadata(self) -> dict[str, str]:
        """The shape as the text fields that a safetensors file can hold."""
        return {name: repr(value) for name, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Shape:
        """Read what `to_metadata` wrote; others are ignored. Raises ValueError, KeyError."""
        return cls(
            vocabulary=int(metadata["vocabulary"]),
            context=int(metadata["context"]),
            width=int(metadata["width"]),
            layers=int(metadata["layers"]),
            heads=int(metadata["heads"]),
            kv_heads=int(metadata["kv_heads"]),
            hidden=int(metadata["hidden"]),
            rope_base=float(metadata["rope_base"]),
            norm_epsilon=float(metadata["norm_epsilon"]),
        )
