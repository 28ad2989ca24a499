"""What this gateway has seen of its workers' pace, by its own clock.

What a node says of itself is old by the time it matters, and may be wrong. A gateway sees its own
jobs: how fast characters come, and that they do not. Pace is seconds per character, because pieces
and tokens are cut differently by each engine; it is kept per node and model, and fades towards what
the node advertises once no job of ours runs there, so that a recovered node gets another chance.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from mesh.capability import Load, ServedModel
from mesh.ids import NodeId

MAX_PACES = 8_192
"""(node, model) pairs remembered; the one seen longest ago goes first."""
MAX_NODES = 4_096
"""Nodes whose number of jobs is followed; the first one met goes first."""
MAX_MODELS = 1_024
"""Models whose usual answer is remembered."""
SMOOTHING = 0.5
"""Seconds of watching after which a new pace counts for two thirds."""
MOST_WEIGHT = 0.5
"""Of one sample, however long it took."""
FADING = 10.0
"""Seconds after which a measured pace counts for half, if nothing new was seen."""
FORGOTTEN = 8 * FADING
UNSEEN_SECONDS = 15.0
"""A node that ran no job of ours for so long may have become faster than it is held to be."""
WARM_SECONDS = 240.0
"""A model used so lately is taken to be in memory still; Ollama unloads after 300 s by default
(https://docs.ollama.com/faq, "keep_alive", 2026-11)."""
CHARACTERS_PER_TOKEN = 4
"""To compare speeds told in tokens; near enough, as all nodes of one model cut alike."""
USUAL_ANSWER = 400.0
"""Characters of an answer before one was seen."""


class _Pace:
    """Seconds per character on one node for one model."""

    __slots__ = ("at", "measured", "used", "value")

    def __init__(self, now: float) -> None:
        self.value = 0.0
        self.measured = False
        """Not only bounded from below."""
        self.at = now
        self.used = now


class _Jobs:
    """How many jobs a node has: as last told, and ours that came or went since."""

    __slots__ = ("report", "since", "told")

    def __init__(self) -> None:
        self.report: Load | None = None
        self.told = 0
        self.since = 0


class _Answers:
    """What answers of one model are usually like."""

    __slots__ = ("characters", "seconds")

    def __init__(self) -> None:
        self.characters = USUAL_ANSWER
        self.seconds = 0.0


class Experience:
    """Pace and business of workers as one gateway saw them. All times are seconds."""

    def __init__(self) -> None:
        self._paces: OrderedDict[tuple[NodeId, str], _Pace] = OrderedDict()
        self._jobs: OrderedDict[NodeId, _Jobs] = OrderedDict()
        self._answers: OrderedDict[str, _Answers] = OrderedDict()

    # ── how busy ────────────────────────────────────────────────────────────────────────────────

    def busy(self, node: NodeId, load: Load) -> int:
        """Jobs on the node: its newest word, and what this gateway began or ended since.

        `load` is what the view holds now; a new object is a new report.
        """
        jobs = self._jobs.get(node)
        if jobs is None:
            return load.in_flight + load.queued
        if jobs.report is not load:
            if jobs.report is not None:
                jobs.since = 0
            jobs.report = load
            jobs.told = load.in_flight + load.queued
        reckoned = jobs.told + jobs.since
        return reckoned if reckoned > 0 else 0

    def sent(self, node: NodeId) -> None:
        """A job goes there now."""
        jobs = self._jobs.get(node)
        if jobs is None:
            jobs = self._jobs[node] = _Jobs()
            if len(self._jobs) > MAX_NODES:
                self._jobs.popitem(last=False)
        jobs.since += 1

    def accepted(self, node: NodeId, in_flight: int, queued: int) -> None:
        """The node took a job and told its load with that job counted."""
        jobs = self._jobs.get(node)
        if jobs is not None:
            jobs.told = in_flight + queued
            jobs.since = 0

    def left(self, node: NodeId) -> None:
        """A job of ours is not there any more."""
        jobs = self._jobs.get(node)
        if jobs is not None:
            jobs.since -= 1

    # ── how fast ────────────────────────────────────────────────────────────────────────────────

    def progressed(
        self, node: NodeId, model: str, characters: float, seconds: float, now: float
    ) -> None:
        """A job ran there for so long and gave so many characters."""
        if characters <= 0 or seconds <= 0:
            return
        pace = self._pace(node, model, now)
        sample = seconds / characters
        if not pace.measured:
            pace.value, pace.measured = sample, True
        else:
            weight = min(MOST_WEIGHT, 1 - math.exp(-seconds / SMOOTHING))
            outdated = 1 - math.exp2(-max(0.0, now - seconds - pace.at) / FADING)
            pace.value += max(weight, outdated) * (sample - pace.value)
        pace.at = now

    def stalled(
        self, node: NodeId, model: str, characters: float, seconds: float, now: float
    ) -> None:
        """A job has run so long and not given that many characters: it is this slow, or worse."""
        pace = self._pace(node, model, now)
        if characters > 0 and seconds / characters > pace.value:
            pace.value = seconds / characters
            pace.at = now

    def completed(self, model: str, characters: int, seconds: float) -> None:
        """An answer was complete after running so long: what is usual for the model."""
        answers = self._answers.get(model)
        if answers is None:
            answers = self._answers[model] = _Answers()
            if len(self._answers) > MAX_MODELS:
                self._answers.popitem(last=False)
            answers.characters = max(1.0, characters)
            answers.seconds = seconds
        answers.characters += 0.1 * (max(1.0, characters) - answers.characters)
        answers.seconds += 0.1 * (seconds - answers.seconds)

    def usual_answer(self, model: str) -> float:
        """Characters that an answer of the model has, about."""
        answers = self._answers.get(model)
        return USUAL_ANSWER if answers is None else answers.characters

    def run_seconds(
        self, node: NodeId, model: ServedModel, load: Load, sole: bool, now: float
    ) -> float:
        """How long one job would run on the idle node; 0.0 when nothing is known.

        `sole`: the node serves nothing else, so that its average job is one of this model.
        """
        name = model.ref.name
        pace = self._paces.get((node, name))
        if pace is None or pace.value == 0.0 or now - pace.at > FORGOTTEN:
            return self._advertised(model, load, sole)
        answers = self._answers.get(name)
        if answers is None and not model.speed:
            return self._advertised(model, load, sole)  # nothing that pace could be compared with
        measured = pace.value * (USUAL_ANSWER if answers is None else answers.characters)
        idle = now - pace.at
        if idle < SMOOTHING:
            return measured
        advertised = self._advertised(model, load, sole) or measured
        return advertised + (measured - advertised) * math.exp2(-idle / FADING)

    def usual_seconds(self, model: str) -> float:
        """How long answers of the model take to run, about; 0.0 before one was complete."""
        answers = self._answers.get(model)
        return 0.0 if answers is None else answers.seconds

    def is_unseen(self, node: NodeId, model: str, now: float) -> bool:
        """Whether no job of ours has run there for UNSEEN_SECONDS."""
        pace = self._paces.get((node, model))
        return pace is None or now - pace.at > UNSEEN_SECONDS

    def is_warm(self, node: NodeId, model: str, now: float) -> bool:
        """Whether a job of ours ran the model there lately, so that it is likely in memory."""
        pace = self._paces.get((node, model))
        return pace is not None and pace.value > 0.0 and now - pace.used < WARM_SECONDS

    def _advertised(self, model: ServedModel, load: Load, sole: bool) -> float:
        answers = self._answers.get(model.ref.name)
        if model.speed > 0:
            characters = USUAL_ANSWER if answers is None else answers.characters
            return characters / CHARACTERS_PER_TOKEN / model.speed
        if sole and load.job_seconds > 0:
            return load.job_seconds
        return load.job_seconds if answers is None else answers.seconds

    def _pace(self, node: NodeId, model: str, now: float) -> _Pace:
        key = (node, model)
        pace = self._paces.get(key)
        if pace is None:
            pace = self._paces[key] = _Pace(now)
            if len(self._paces) > MAX_PACES:
                self._paces.popitem(last=False)
        else:
            self._paces.move_to_end(key)
        pace.used = now
        return pace
