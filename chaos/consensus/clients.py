"""Calls of clients, what they saw, and the history that the checker gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Literal

from chaos.consensus.linearizable import Operation

MAX_OPERATIONS = 4096
"""Of one episode: what is checked grows fast with it."""


@dataclass(slots=True)
class Call:
    """One call in flight. `ended` counts events, not seconds: it gives the strictest order."""

    number: int
    kind: Literal["write", "read"]
    key: str
    value: int | None
    began: float
    ended: float = inf
    outcome: Literal["open", "done", "refused", "unknown"] = "open"


@dataclass
class History:
    """Every call of an episode."""

    calls: list[Call] = field(default_factory=list)
    clock: int = 0

    def begin(self, kind: Literal["write", "read"], key: str) -> Call:
        """A new call; a write gets a value of its own."""
        self.clock += 1
        number = len(self.calls) + 1
        call = Call(number, kind, key, number if kind == "write" else None, self.clock)
        self.calls.append(call)
        return call

    def finish(self, call: Call, value: int | None = None) -> None:
        """The client got its answer."""
        if call.outcome == "open":
            self.clock += 1
            call.outcome, call.ended = "done", self.clock
            if call.kind == "read":
                call.value = value

    def refuse(self, call: Call) -> None:
        """The client was told that nothing was done and nothing will be."""
        if call.outcome == "open":
            call.outcome = "refused"

    def forget(self, call: Call) -> None:
        """The client will never know."""
        if call.outcome == "open":
            call.outcome = "unknown"

    def operations(self) -> list[Operation]:
        """For the checker: reads that were answered, and writes that may have been done."""
        return [
            Operation(call.kind, call.key, call.value, call.began, call.ended)
            for call in self.calls
            if call.outcome == "done" or (call.kind == "write" and call.outcome != "refused")
        ]
