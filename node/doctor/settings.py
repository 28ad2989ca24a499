"""The settings: whether they load, and from where."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.jobs import Privacy
from node.doctor.finding import Finding, ok, problem, warning
from node.doctor.patient import Patient
from node.network import is_founded

AREA = "settings"


async def examine_settings(patient: Patient) -> Sequence[Finding]:
    """See `judge_settings` and `judge_privacy`."""
    config = patient.config
    if config is None:
        return [judge_settings(patient)]
    engines = config.engines != ("none",)
    founded = is_founded(config.network)
    own = bool(config.own_nodes)
    privacy = judge_privacy(config.default_privacy, engines=engines, own=own, founded=founded)
    return [judge_settings(patient), *privacy]


def judge_privacy(
    default: Privacy, *, engines: bool, own: bool, founded: bool
) -> tuple[Finding, ...]:
    """Whether requests that name no class can ever be served."""
    if engines or own or default == "public" or (default == "trusted" and founded):
        return ()
    lacking = "no engine and no own_nodes" + ("" if default == "own" else ", in a mesh of no owner")
    what = f"default_privacy is {default}, and this node has {lacking}: nobody may serve"
    return (warning(AREA, what, "list your other nodes in own_nodes, or choose another class"),)


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
