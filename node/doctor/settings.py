"""The settings: whether they load, and from where."""

from __future__ import annotations

from collections.abc import Sequence

from node.doctor.finding import Finding, ok, problem
from node.doctor.patient import Patient

AREA = "settings"


async def examine_settings(patient: Patient) -> Sequence[Finding]:
    """See `judge_settings`."""
    return [judge_settings(patient)]


def judge_settings(patient: Patient) -> Finding:
    """Whether a node would start with them."""
    where = f"from {patient.settings_file}" if patient.settings_file else "without a file"
    if patient.config is None:
        what = f"The settings do not load ({where}, environment and flags)"
        cure = "correct the setting named below; docs/configuration.md lists them all"
        return problem(AREA, what, cure, patient.settings_error)
    if patient.settings_of_daemon:
        return ok(AREA, f"The settings load {where}, with the running node's own flags")
    return ok(AREA, f"The settings load {where}")
