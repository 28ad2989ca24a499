"""From what the owner wrote behind --engine to engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.engines.demo.engine import DEFAULT_SLOTS, MAX_SLOTS, DemoEngine
from services.engines.discovery import Discovery
from services.engines.engine import Engine
from services.engines.given import GivenEngine
from services.engines.llama import LlamaEngine


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What a catalog is made from."""

    engines: tuple[Engine, ...] = ()
    discovery: Discovery | None = None
    fallback: Engine | None = None
    """Offered while nothing else is."""


def choose_engines(
    words: Sequence[str],
    *,
    slots: int | None = None,
    demo_rate: float | None = None,
    model_file: Path | None = None,
) -> EngineChoice:
    """Engines for `demo`, `none`, `auto`, `llama` and URLs, in the order given.

    Starts nothing. Raises ConfigError for an engine that cannot be used here.
    """
    engines: list[Engine] = []
    for word in dict.fromkeys(words):
        if word == "demo":
            engines.append(_demo(slots, demo_rate))
        elif word == "llama":
            engines.append(LlamaEngine(model_file))
        elif word not in ("auto", "none"):
            engines.append(GivenEngine(word))
    if "auto" not in words:
        return EngineChoice(tuple(engines))
    fallback = None if "demo" in words else _demo(slots, demo_rate)
    return EngineChoice(tuple(engines), Discovery(), fallback)


def _demo(slots: int | None, rate: float | None) -> DemoEngine:
    return DemoEngine(slots=min(slots or DEFAULT_SLOTS, MAX_SLOTS), rate=rate)
