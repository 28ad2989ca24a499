"""What a job asks for and what comes back, in words every part of the mesh shares.

A client's dialect (OpenAI, the original `/text/generate`) is turned into a `JobSpec` at the
gateway; an engine turns the `JobSpec` into `Chunk`s and one `Finish`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["chat", "completion"]
Privacy = Literal["public", "trusted", "own"]
Feature = Literal["tools", "vision", "json", "logprobs", "resume"]
"""What a request may demand of an engine beyond plain text. `json` means response_format; `resume`
that the engine goes on from a `JobSpec.resume` exactly, nothing lost or repeated. An engine that
has it marks where each of several choices ends (`Chunk.end`), unless its chunks carry token ids."""

MAX_CHOICES = 16
MAX_STOP_SEQUENCES = 16


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. None means: the engine's own default. Zero is zero."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: int | None = None
    """None: none. k: the chosen token's log probability and those of the k likeliest tokens."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """What one choice of an answer had given out when its worker was lost."""

    text: str = ""
    token_ids: tuple[int, ...] | None = None
    """The ids behind all of `text`; None when an engine did not tell every one."""
    finished: bool = False
    """The choice was complete: nothing is to be added to it."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One generation, in no client's dialect.

    `messages` (kind "chat") are OpenAI chat messages, content parts untouched; `prompt` (kind
    "completion") is text or token ids. `extra` holds every request field this class does not name
    (tools, response_format, new ones), passed on to engines that speak OpenAI as they came.
    """

    kind: Kind
    model: str
    messages: tuple[Mapping[str, Any], ...] = ()
    prompt: str | tuple[int, ...] = ""
    sampling: Sampling = Sampling()
    stream: bool = False
    """True when the client wants chunks as they come; False lets an engine answer in one piece."""
    needs: tuple[Feature, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    resume: tuple[Emitted, ...] = ()
    """One per choice when an earlier worker was lost midway: chunks carry only what comes after,
    `sampling.max_tokens` still counts from the start, usage counts the whole answer."""


@dataclass(slots=True, unsafe_hash=True)
class Chunk:
    """A piece of one choice's answer. Never changed once made; not `frozen` because making one
    would take four times as long, and each token is one at both ends of a link.

    `text` is new text ("" allowed). `token_ids` are the ids behind it, where the engine knows them;
    () when earlier chunks brought the ids of this text.
    `delta` holds other OpenAI delta fields untouched (tool_calls, reasoning_content, refusal).
    `logprobs` is an OpenAI-shaped logprobs object for this chunk. `end` is the reason for which
    the choice ends with this chunk, from engines that know it before the job is over; "" otherwise.
    """

    text: str = ""
    index: int = 0
    token_ids: tuple[int, ...] | None = None
    delta: Mapping[str, Any] | None = None
    logprobs: Mapping[str, Any] | None = None
    end: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of a whole job (all choices)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    """The job is complete. `reasons[i]` ends choice i: stop, length, tool_calls, content_filter."""

    reasons: tuple[str, ...] = ("stop",)
    usage: Usage = Usage()
