"""Patients for the doctor's tests: healthy ones, in which each test breaks one thing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.config import load_config
from node.doctor.finding import Finding, Status
from node.doctor.patient import Instruments, Patient, Room

GIB = 2**30


def healthy_room(_: Path) -> Room:
    return Room(100 * GIB, 50 * GIB)


def make_patient(folder: Path, settings: dict[str, Any] | None = None, **changes: Any) -> Patient:
    """A node that is not running, with a healthy machine around it.

    `changes` are fields of Patient, or of Instruments.
    """
    look = {name: changes.pop(name) for name in Instruments.__slots__ if name in changes}
    folder.mkdir(mode=0o700, exist_ok=True)
    given = {"data_dir": str(folder), "http": "127.0.0.1:0", "mesh": "127.0.0.1:0"}
    config = load_config({**given, "engines": "none", **(settings or {})}, environ={"HOME": "/h"})
    room = {"room": healthy_room, **look}
    patient = Patient(data_dir=folder, config=config, instruments=Instruments(**room))
    return replace(patient, **changes)


def make_answer(**changes: Any) -> dict[str, Any]:
    """The parts of GET /api/node that the doctor reads, of a node that is well."""
    return {
        "version": "",
        "state": "joined",
        "links": 3,
        "availability": {"open": True, "reason": "", "until": None},
        "models": [{"ref": {"name": "m", "engine": "vllm"}, "slots": 2}],
        "addresses": ["tcp://192.0.2.1:7718"],
        "notes": [],
        **changes,
    }


def worst(findings: Iterable[Finding]) -> Finding:
    """The finding that matters most."""
    order: Sequence[Status] = ("problem", "warning", "skipped", "ok")
    return min(findings, key=lambda finding: order.index(finding.status))


def today() -> float:
    return time.time()
