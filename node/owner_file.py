"""What the owner told a running node, kept over a restart: owner.json in the data folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.errors import StorageError
from mesh.identity.private_file import read_private, write_private
from services.availability import Pause
from services.limits import LIMITS, MAX_SLOTS

log = logging.getLogger(__name__)

WHAT = "the owner's settings"
MAX_BYTES = 2**50
"""Of memory that a limit may name."""
MAX_TIME = 1e11
"""Seconds of wall time, some thousand years on; a pause ends before."""


@dataclass(frozen=True, slots=True)
class OwnerState:
    """A pause, and limits that replace the configured ones, by name."""

    pause: Pause | None = None
    limits: Mapping[str, int] = field(default_factory=dict)


class OwnerFile:
    """Reads and replaces the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[OwnerState, str]:
        """What was said last, and what is wrong with the file, "" for nothing.

        A file that cannot be understood may have said `paused`, so that is what it means.
        """
        try:
            data = read_private(self._path, WHAT)
            return (OwnerState() if data is None else _read(data)), ""
        except StorageError as error:
            reason = str(error)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = f"{self._path} is damaged ({type(error).__name__})"
        log.warning("%s: paused until 'electrons resume'", reason)
        return OwnerState(Pause()), f"{reason}: paused until 'electrons resume'"

    def save(self, state: OwnerState) -> None:
        """Durable when this returns. Raises StorageError."""
        pause = state.pause
        value = {
            "version": 1,
            "paused": pause is not None,
            "until": None if pause is None else pause.until,
            "limits": dict(state.limits),
        }
        write_private(self._path, json.dumps(value, indent=1).encode(), WHAT)


def _read(data: bytes) -> OwnerState:
    value: dict[str, Any] = json.loads(data)
    until, paused, limits = value["until"], value["paused"], value["limits"]
    if not isinstance(paused, bool) or set(limits) - set(LIMITS):
        raise ValueError
    if until is not None and (not isinstance(until, int | float) or not 0 <= until < MAX_TIME):
        raise ValueError
    for name, most in limits.items():
        if type(most) is not int or not 1 <= most <= (MAX_SLOTS if name == "slots" else MAX_BYTES):
            raise ValueError
    return OwnerState(Pause(until) if paused else None, limits)
