"""What Ollama says of its models, read into our words. Pure.

github.com/ollama/ollama, docs/openapi.yaml at 017eb8a (2026): /api/tags, /api/ps, /api/show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.capability import ModelRef
from mesh.jobs import Feature
from services.engines.openai_models import MAX_MODELS, MAX_NAME, whole

DEFAULT_CONTEXT = 4096
"""Ollama's own default (OLLAMA_CONTEXT_LENGTH). A longer prompt is cut without a word, so no more
is promised until /api/ps tells what a loaded model really has."""
LOGPROBS_SINCE = (0, 12, 11)
RESUME_SINCE = (0, 12, 11)
"""Versions that show the prompt they would use; the first that does is some months older."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One model on disk."""

    name: str
    digest: str
    quantisation: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What /api/show tells of one model."""

    context: int
    """Tokens the weights were made for; 0 when unknown."""
    capabilities: tuple[str, ...]


def read_tags(payload: Any) -> tuple[Tag, ...]:
    """GET /api/tags. Models that only stand for a cloud service are left out: running them would
    spend their owner's account."""
    tags = []
    for entry in _entries(payload):
        name, digest = entry.get("name"), entry.get("digest")
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
            continue
        if entry.get("remote_host") or entry.get("remote_model") or name.endswith("-cloud"):
            continue
        details = entry.get("details")
        level = details.get("quantization_level") if isinstance(details, Mapping) else ""
        tags.append(Tag(name, str(digest or "")[:128], str(level or "")[:40]))
    return tuple(tags)


def read_loaded(payload: Any) -> dict[str, int]:
    """GET /api/ps: the context of each model in memory, by name; 0 where it is not told."""
    return {
        entry["name"]: whole(entry.get("context_length"))
        for entry in _entries(payload)
        if isinstance(entry.get("name"), str)
    }


def read_traits(payload: Any) -> Traits:
    """POST /api/show. Servers before 0.6.4 tell no capabilities: they are taken to complete."""
    shown = payload if isinstance(payload, Mapping) else {}
    info = shown.get("model_info")
    info = info if isinstance(info, Mapping) else {}
    context = whole(info.get(f"{info.get('general.architecture')}.context_length"))
    told = shown.get("capabilities")
    capabilities = tuple(str(one) for one in told) if isinstance(told, list) else ("completion",)
    return Traits(context, capabilities)


def read_version(payload: Any) -> tuple[int, ...]:
    """GET /api/version as numbers; () when it is none, as in builds from source."""
    told = payload.get("version") if isinstance(payload, Mapping) else None
    parts = str(told).split("-")[0].split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def model_ref(tag: Tag, traits: Traits, loaded: int | None, version: tuple[int, ...]) -> ModelRef:
    """The model as the mesh sees it. `loaded`: its context in memory, None when not loaded."""
    known = traits.context or DEFAULT_CONTEXT
    context = loaded or min(known, DEFAULT_CONTEXT)
    features: list[Feature] = ["json"]
    if "tools" in traits.capabilities:
        features.insert(0, "tools")
    if "vision" in traits.capabilities:
        features.append("vision")
    if version >= LOGPROBS_SINCE:
        features.append("logprobs")
    if version >= RESUME_SINCE and "thinking" not in traits.capabilities:
        features.append("resume")
    return ModelRef(
        tag.name, "ollama", tag.digest, tag.quantisation, context, "text", tuple(features)
    )


def _entries(payload: Any) -> list[Mapping[str, Any]]:
    models = payload.get("models") if isinstance(payload, Mapping) else None
    if not isinstance(models, list):
        return []
    return [entry for entry in models[:MAX_MODELS] if isinstance(entry, Mapping)]
