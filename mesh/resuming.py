"""Which jobs another worker may take up where the first was lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mesh.capability import ModelRef
from mesh.jobs import JobSpec

_FREE: dict[str, tuple[object, ...]] = {
    "response_format": (None, {"type": "text"}),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "modalities": (None, ["text"]),
    "tool_choice": (None, "auto", "none"),
    "function_call": (None, "auto", "none"),
}
"""Fields that bind the whole answer to a form, with the values by which they do not."""
_BINDING = (
    *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"),
    *("json_schema", "grammar", "regex", "ebnf", "format", "audio", "min_tokens"),
)
"""The same of fields that engines add to OpenAI's: any value binds."""


def bound_by(job: JobSpec) -> str:
    """The field for which an answer must be the work of one worker, or "" when there is none.

    A grammar, say, has to be followed from its start: what comes after a prefix follows it no more.
    """
    if "json" in job.needs:
        return "response_format"
    for name, free in _FREE.items():
        if job.extra and job.extra.get(name) not in free:
            return name
    return next((name for name in _BINDING if job.extra.get(name) is not None), "")


def has_media(job: JobSpec) -> bool:
    """Whether the job asks about images, sound or files: no engine goes on with such an answer."""
    if "vision" in job.needs:
        return True
    parts = (message.get("content") for message in job.messages)
    return any(
        not isinstance(part, Mapping) or part.get("type") != "text"
        for content in parts
        if isinstance(content, list | tuple)
        for part in content
    )


def same_weights(one: ModelRef, other: ModelRef) -> bool:
    """Whether one may go on with what the other began.

    Where the weights' hash is unknown, the engine must be of the same kind as well.
    """
    return (
        one.name == other.name
        and one.digest == other.digest
        and one.quantisation == other.quantisation
        and (one.digest != "" or one.engine == other.engine)
    )
