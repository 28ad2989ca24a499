"""How one run gets on, told to the gateway's experience of its workers."""

from __future__ import annotations

import math

from coordinator.scheduling.experience import Experience
from mesh.ids import NodeId
from mesh.jobs import Chunk

METER_SECONDS = 0.2
"""Seconds between two measurements of one run."""
STALL_SECONDS = 0.4
"""A stream that has given nothing for this long is slow, not merely uneven."""
STALL_CHARACTERS = 16.0
"""What a stream would have given in that time on a worker not worth noting as slow."""
CHARACTERS_A_DELTA = 4
"""What a chunk without text counts as: tool calls and reasoning come in deltas of about a token."""


class Meter:
    """Counts one run's characters as they come, and measures now and then."""

    __slots__ = (
        "_began",
        "_experience",
        "_measured",
        "_measured_at",
        "_model",
        "_node",
        "_partly",
        "_start",
        "characters",
    )

    def __init__(self, experience: Experience) -> None:
        self._experience = experience
        self._node: NodeId | None = None
        self._model = ""
        self._began = math.inf
        self._start = 0
        self._measured = 0
        self._measured_at = 0.0
        self._partly = False
        self.characters = 0
        """Given out so far, by all workers together."""

    def begin(self, node: NodeId, model: str, now: float) -> None:
        """A worker takes the job, perhaps into its queue."""
        self._node, self._model = node, model
        self._began = self._measured_at = now
        self._start = self._measured = self.characters
        self._partly = False

    def still_queued(self, now: float) -> None:
        """It has not begun to run."""
        self._began = self._measured_at = now

    def add(self, chunk: Chunk) -> None:
        """The next chunk."""
        self.characters += len(chunk.text) or CHARACTERS_A_DELTA

    def measure(self, now: float) -> None:
        """Called every so often; does something once in METER_SECONDS."""
        passed = now - self._measured_at
        if passed < METER_SECONDS or self._node is None:
            return
        came = self.characters - self._measured
        if came:
            if self._measured > self._start:  # before, it read the prompt as well
                self._experience.progressed(self._node, self._model, came, passed, now)
                self._partly = True
            self._measured, self._measured_at = self.characters, now
        elif self.characters == self._start:
            usual = self._experience.usual_answer(self._model)
            self._experience.stalled(self._node, self._model, usual, now - self._began, now)
        elif passed > STALL_SECONDS:
            self._experience.stalled(self._node, self._model, STALL_CHARACTERS, passed, now)

    def end(self, now: float, *, whole: bool) -> None:
        """The job is complete; `whole`: by this worker alone."""
        if self._node is None:
            return
        seconds, came = now - self._began, self.characters - self._start
        if not self._partly:
            self._experience.progressed(self._node, self._model, came, seconds, now)
        if whole:
            self._experience.completed(self._model, came, seconds)
        self._node = None

    def stop(self) -> None:
        """The worker does not run it any more."""
        self._node = None
