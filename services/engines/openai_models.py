"""What OpenAI-compatible servers say of their models and load, read into our words. Pure.

vLLM: docs/usage/metrics.md and /v1/models (`max_model_len`). llama.cpp: tools/server/README.md at
00dc805, /props, /slots, /metrics. LM Studio: lmstudio.ai/docs/api/rest-api. All as of 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mesh.capability import ModelRef
from mesh.jobs import Feature

MAX_MODELS = 256
"""Models taken from one server; the rest is ignored."""
MAX_NAME = 200
ALL_FEATURES: tuple[Feature, ...] = ("tools", "vision", "json", "logprobs")
"""For servers that do not say: everything is passed on, and the server itself refuses."""

VLLM_SLOTS = 16
"""Where /metrics does not tell the cache size: vLLM batches, by default 128 and more at once."""
VLLM_MOST_SLOTS = 256
"""vLLM's own default of `--max-num-seqs`."""
TYPICAL_JOB = 4096
"""Tokens of cache reckoned for one job when slots are derived from vLLM's cache size."""

_FILE = re.compile(r"(^[./~])|\\|^[A-Za-z]:|\.gguf$")
_QUANTISATION = re.compile(
    r"(?:^|[-_.])((?:I?Q\d(?:_\w+)?)|BF16|F16|F32|FP8|AWQ|GPTQ|MXFP4)(?=$|[-.])", re.I
)
_METRIC = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? +(\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Card:
    """One entry of a model list."""

    id: str
    """What the server wants to hear."""
    ref: ModelRef

    def with_feature(self, feature: Feature) -> Card:
        """The card of a model that has one feature more."""
        return Card(self.id, replace(self.ref, features=(*self.ref.features, feature)))


def public_name(model_id: str) -> str:
    """The name the mesh sees: a path to a file or folder on this machine keeps its last part."""
    if not _FILE.search(model_id):
        return model_id
    last = re.split(r"[/\\]", model_id.rstrip("/\\"))[-1]
    return last.removesuffix(".gguf") or "model"


def quantisation_of(name: str) -> str:
    """Quantisation read out of a file or model name; "" when it holds none."""
    found = _QUANTISATION.search(name.removesuffix(".gguf"))
    return found.group(1).upper() if found else ""


def read_cards(
    payload: Any, engine: str, *, context: int = 0, features: tuple[Feature, ...] = ALL_FEATURES
) -> tuple[Card, ...]:
    """GET /v1/models, all servers. Entries that cannot generate text are left out."""
    entries = payload.get("data") if isinstance(payload, Mapping) else None
    if not isinstance(entries, list):
        return ()
    cards = (_card(entry, engine, context, features) for entry in entries[:MAX_MODELS])
    return tuple(card for card in cards if card is not None)


def _card(entry: Any, engine: str, context: int, features: tuple[Feature, ...]) -> Card | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str):
        return None
    model_id: str = entry["id"]
    name = public_name(model_id)
    if not name or len(name) > MAX_NAME or not name.isprintable():
        return None
    if "text" not in _modalities(entry, "output_modalities"):
        return None
    if "image" in _modalities(entry, "input_modalities") and "vision" not in features:
        features = (*features, "vision")
    told = entry.get("max_model_len") or entry.get("loaded_context_length") or context
    size = whole(told) or whole(entry.get("max_context_length"))
    quantisation = entry.get("quantization")
    if not isinstance(quantisation, str):
        quantisation = quantisation_of(model_id)
    ref = ModelRef(name, engine, "", quantisation[:40], size, "text", features)
    return Card(model_id, ref)


def _modalities(entry: Mapping[str, Any], key: str) -> Iterable[str]:
    architecture = entry.get("architecture")
    told = architecture.get(key) if isinstance(architecture, Mapping) else None
    return told if isinstance(told, list) else ("text",)


def metric(text: str, name: str) -> int | None:
    """Sum of a Prometheus gauge over its labels; None when it is absent."""
    values = [found[2] for found in _METRIC.findall(text) if found[0] == name]
    numbers = [float(value) for value in values if re.fullmatch(r"[\d.]+(e[+-]?\d+)?", value)]
    return int(sum(numbers)) if numbers else None


def vllm_slots(metrics: str, context: int) -> int:
    """Jobs that fit vLLM's key-value cache at once, from `vllm:cache_config_info`."""
    for name, labels, _ in _METRIC.findall(metrics):
        if name != "vllm:cache_config_info":
            continue
        told = dict(_LABEL.findall(labels))
        tokens = whole(told.get("num_gpu_blocks")) * whole(told.get("block_size"))
        if tokens:
            job = min(context or TYPICAL_JOB, TYPICAL_JOB)
            return max(1, min(VLLM_MOST_SLOTS, tokens // job))
    return VLLM_SLOTS


def llama_features(props: Mapping[str, Any]) -> tuple[Feature, ...]:
    """Features by llama.cpp's /props: `modalities` and, where present, `chat_template_caps`."""
    features: list[Feature] = ["json", "logprobs"]
    caps = props.get("chat_template_caps")
    if not isinstance(caps, Mapping) or caps.get("supports_tools", True):
        features.insert(0, "tools")
    modalities = props.get("modalities")
    if isinstance(modalities, Mapping) and modalities.get("vision"):
        features.append("vision")
    return tuple(features)


def whole(value: object) -> int:
    """A count that somebody else sent: an integer of at least 0, 0 for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and 0 <= value < 10**15 else 0
