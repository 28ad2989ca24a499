"""From a model's name to the nodes that may run the job. Pure, over the routing view."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from coordinator.scheduling.policy import Candidate, Demand
from mesh.capability import ModelRef, ServedModel
from mesh.errors import ModelNotFound
from mesh.jobs import JobSpec
from mesh.ports import Provider, Request
from services.engines.engine import Engine
from services.offering import MOST_ALIASES

AUTO = "auto"
"""The alias for "whatever serves text best right now"."""
CHARACTERS_PER_TOKEN = 8
"""More than real tokenizers reach, so that no prompt is refused that might have fitted."""


class OwnModels(Protocol):
    """What this node serves itself: the catalog."""

    def find(self, model: str) -> tuple[Engine, ModelRef, int] | None: ...

    def models(self) -> tuple[ServedModel, ...]: ...


Served = TypeVar("Served", Candidate, Provider)


def resolve_alias(model: str, aliases: Mapping[str, str], served: Callable[[str], bool]) -> str:
    """What a name means: itself where it is served, else what it is configured to stand for."""
    for _ in range(MOST_ALIASES):
        if served(model) or model not in aliases:
            break
        model = aliases[model]
    return model


def make_demand(job: JobSpec, request: Request) -> Demand:
    """The hard constraints of a job."""
    characters = sum([_text_length(message.get("content")) for message in job.messages])
    if isinstance(job.prompt, str):
        tokens = (characters + len(job.prompt)) // CHARACTERS_PER_TOKEN
    else:
        tokens = len(job.prompt)
    return Demand(job.needs, request.privacy, tokens)


def prefer_real(found: list[Served]) -> list[Served]:
    """For `auto`: text models only, the demo only when there is nothing else."""
    text = [each for each in found if each.model.ref.modality == "text"]
    return [each for each in text if each.model.ref.engine != "demo"] or text


def not_found(model: str, known: Iterable[str]) -> ModelNotFound:
    """The error for an unknown name, with the closest known ones."""
    names = sorted(set(known))
    closest = tuple(difflib.get_close_matches(model, names, n=3, cutoff=0.4))
    shown = closest or tuple(names[:3])
    hint = f"; did you mean {', '.join(shown)}?" if shown else "; no model is served at present"
    return ModelNotFound(f"The model '{model[:100]}' does not exist{hint}", closest=shown)


def _text_length(content: object) -> int:
    if isinstance(content, str):
        return len(content)
    if isinstance(content, (list, tuple)):
        return sum(_text_length(part.get("text")) for part in content if isinstance(part, dict))
    return 0
