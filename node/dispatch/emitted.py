"""What a job's client has been given so far, and what that allows when the worker is lost. Pure."""

from __future__ import annotations

from array import array
from dataclasses import replace
from io import StringIO
from typing import Literal

from mesh.capability import ModelRef
from mesh.errors import WireError
from mesh.jobs import Chunk, Emitted, Finish, JobSpec
from mesh.resuming import bound_by

MAX_KEPT = 256 * 1024
"""Characters and token ids kept of one job, all choices together: 1 to 3 MiB. Beyond it the job
goes on, but no longer elsewhere."""
EXACT_ENGINES = frozenset({"demo"})
"""Engine kinds whose draw at a position depends on the seed, the choice and the position alone:
what goes on from token ids is, with the same seed, what an unbroken run would have written."""

Recovery = Literal["restart", "resume", "fail"]


class _Choice:
    """One choice: text and ids as they come, joined when somebody asks."""

    __slots__ = ("end", "ids", "text")

    def __init__(self) -> None:
        self.text = StringIO()
        self.ids: array[int] | None = array("Q")
        self.end = ""


class Answer:
    """Folds the chunks of all choices. One object a job; `add` is called for every chunk."""

    __slots__ = ("_choices", "_room", "structured", "visible")

    def __init__(self, choices: int) -> None:
        self._choices = [_Choice() for _ in range(choices)]
        self._room = MAX_KEPT
        self.visible = False
        """The client was given something that it can see."""
        self.structured = False
        """What it was given is more than text: tool calls, reasoning."""

    @property
    def kept(self) -> bool:
        """All of it is still here."""
        return self._room >= 0

    @property
    def in_tokens(self) -> bool:
        """The ids behind all of the text are known, for every choice."""
        return all(choice.ids is not None for choice in self._choices)

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk. Raises WireError when no honest worker would have sent it."""
        if not 0 <= chunk.index < len(self._choices):
            raise WireError("the worker answered a choice that was not asked for")
        choice = self._choices[chunk.index]
        if choice.end:
            raise WireError("the worker went on after the end of a choice")
        if chunk.end:
            choice.end = chunk.end
        if chunk.delta or chunk.logprobs:
            self.visible = True
            self.structured = self.structured or bool(chunk.delta)
        if chunk.text or chunk.token_ids:
            self._keep(choice, chunk)

    def emitted(self) -> tuple[Emitted, ...]:
        """For `JobSpec.resume`. Only true while `kept`."""
        return tuple(
            Emitted(
                choice.text.getvalue(),
                None if choice.ids is None else tuple(choice.ids),
                bool(choice.end),
            )
            for choice in self._choices
        )

    def complete(self, finish: Finish) -> Finish:
        """The end of the whole job: a choice that had ended before keeps its reason."""
        if not any(choice.end for choice in self._choices):
            return finish
        given = (*finish.reasons, *["stop"] * len(self._choices))
        pairs = zip(self._choices, given, strict=False)
        return replace(finish, reasons=tuple(choice.end or reason for choice, reason in pairs))

    def _keep(self, choice: _Choice, chunk: Chunk) -> None:
        text, ids = chunk.text, chunk.token_ids
        if text:
            self.visible = True
        if self._room < 0:
            return
        self._room -= len(text) + len(ids or ())
        if self._room < 0:
            self._forget()
            return
        choice.text.write(text)
        if ids is None:
            choice.ids = None
        elif choice.ids is not None:
            choice.ids.extend(ids)

    def _forget(self) -> None:
        for choice in self._choices:
            choice.text = StringIO()
            choice.ids = None


def decide_recovery(job: JobSpec, model: ModelRef, answer: Answer) -> tuple[Recovery, str]:
    """What to do when the worker of a job, which ran it on `model`, is lost; with the reason."""
    if not answer.visible:
        return "restart", "nothing was given out"
    if answer.structured:
        return "fail", "more than text was given out"
    if bound := bound_by(job) or ("tools" if "tools" in job.needs else ""):
        return "fail", f"{bound} binds the whole answer"
    if not answer.kept:
        return "fail", "the answer has grown too long to be kept"
    exact = model.engine in EXACT_ENGINES and answer.in_tokens
    if job.sampling.logprobs is not None and not exact:
        return "fail", "log probabilities cannot go on exactly"
    return "resume", ""
