"""What a job's client has been given so far, and what that allows when the worker is lost. Pure."""

from __future__ import annotations

from array import array
from dataclasses import replace
from io import StringIO
from typing import Literal

from mesh.capability import ModelRef
from mesh.errors import WireError
from mesh.jobs import Chunk, Emitted, Finish, JobSpec
from mesh.resuming import bound_by, has_media

MAX_KEPT = 256 * 1024
"""Characters and token ids kept of one job, all choices together: 1 to 3 MiB. Beyond it the job
goes on, but no longer elsewhere."""
EXACT_ENGINES = frozenset({"demo"})
"""Engine kinds whose draw at a position depends on the seed, the choice and the position alone:
what goes on from token ids is, with the same seed, what an unbroken run would have written."""

Recovery = Literal["restart", "resume", "fail"]


class _Choice:
    """One choice: text and ids as they come, joined when somebody asks."""

    __slots__ = ("end", "ids", "in_tokens", "text")

    def __init__(self) -> None:
        self.text: StringIO | None = None
        self.ids: array[int] | None = None
        self.in_tokens = True
        """Every piece of the text came with its ids."""
        self.end = ""

    def keep(self, text: str, ids: tuple[int, ...] | None) -> None:
        """Add what came."""
        if self.text is None:
            self.text = StringIO()
        self.text.write(text)
        if ids is None:
            self.in_tokens, self.ids = False, None
        elif self.in_tokens and ids:
            if self.ids is None:
                self.ids = array("Q")
            self.ids.extend(ids)

    def forget(self) -> None:
        """Keep no more than how it ended."""
        self.text = self.ids = None
        self.in_tokens = False

    def emitted(self) -> Emitted:
        """See `Answer.emitted`."""
        text = "" if self.text is None else self.text.getvalue()
        return Emitted(text, tuple(self.ids or ()) if self.in_tokens else None, bool(self.end))


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
        return all(choice.in_tokens for choice in self._choices)

    def add(self, chunk: Chunk, *, last: bool = False) -> None:
        """Take the next chunk; the text of the job's last one is kept for nobody.

        Raises WireError when no honest worker would have sent it.
        """
        index, text, ids = chunk.index, chunk.text, chunk.token_ids
        if not 0 <= index < len(self._choices):
            raise WireError("the worker answered a choice that was not asked for")
        choice = self._choices[index]
        if choice.end:
            raise WireError("the worker went on after the end of a choice")
        if chunk.end:
            choice.end = chunk.end
        if chunk.delta or chunk.logprobs:
            self.visible = True
            self.structured = self.structured or bool(chunk.delta)
        if text:
            self.visible = True
        if (text or ids) and self._room >= 0 and not last:
            self._room -= len(text) + len(ids or ())
            if self._room >= 0:
                choice.keep(text, ids)
            else:
                self._forget()

    def emitted(self) -> tuple[Emitted, ...]:
        """For `JobSpec.resume`. Only true while `kept`."""
        return tuple(choice.emitted() for choice in self._choices)

    def complete(self, finish: Finish) -> Finish:
        """The end of the whole job: a choice that had ended before keeps its reason."""
        ends = tuple([choice.end for choice in self._choices])
        if ends == finish.reasons or not any(ends):
            return finish
        given = (*finish.reasons, *["stop"] * len(self._choices))
        pairs = zip(ends, given, strict=False)
        return replace(finish, reasons=tuple(end or reason for end, reason in pairs))

    def _forget(self) -> None:
        for choice in self._choices:
            choice.forget()


def decide_recovery(job: JobSpec, model: ModelRef, answer: Answer) -> tuple[Recovery, str]:
    """What to do when the worker of a job, which ran it on `model`, is lost; with the reason."""
    if not answer.visible:
        return "restart", "nothing was given out"
    if answer.structured:
        return "fail", "more than text was given out"
    if bound := bound_by(job) or ("tools" if "tools" in job.needs else ""):
        return "fail", f"{bound} binds the whole answer"
    if has_media(job):
        return "fail", "an answer to more than text cannot go on elsewhere"
    if not answer.kept:
        return "fail", "the answer has grown too long to be kept"
    exact = model.engine in EXACT_ENGINES and answer.in_tokens
    if job.sampling.logprobs is not None and not exact:
        return "fail", "log probabilities cannot go on exactly"
    return "resume", ""
