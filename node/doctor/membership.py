"""Where the running node stands in its mesh: state, links, whether it takes jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient

AREA = "mesh"
JOBS = "jobs"


async def examine_membership(patient: Patient) -> Sequence[Finding]:
    """See `judge_membership` and `judge_jobs`."""
    if patient.answer is None:
        why = "No node answers here" if not patient.held else "The node that runs does not answer"
        return [skipped(AREA, why, "start one with 'electrons up' and run the doctor again")]
    given = patient.config is not None and bool(patient.config.join or patient.config.edge)
    found = (judge_membership(patient.answer, given=given), judge_jobs(patient.answer))
    return (*found, *judge_notes(patient.answer.get("notes")))


def judge_membership(answer: Mapping[str, Any], *, given: bool) -> Finding:
    """Whether it has met others; `given`: its owner told it where."""
    state, links = str(answer.get("state", "")), answer.get("links")
    count = links if isinstance(links, int) else 0
    if state == "draining":
        return warning(AREA, "The node is shutting down", "wait, then start it again")
    if state == "isolated" or (state == "joined" and count == 0):
        what = "The node has no link to any other node"
        cure = "see the findings on names, ways out, clock and grants; the others must run, too"
        return problem(AREA, what, cure, answer.get("reason") or "")
    if state == "first" and given:
        what = "The node has met nobody yet"
        return warning(AREA, what, "wait a few seconds; then see the findings on ways out")
    if state == "first":
        what = "The node is alone: nobody else was found on this network"
        cure = "give --join or --edge, or join with a ticket, to meet nodes elsewhere"
        return warning(AREA, what, cure)
    if state == "joined":
        return ok(AREA, f"The node is in the mesh, with {count} link{'s' * (count != 1)}")
    return warning(AREA, "The node is still starting", "run the doctor again in a moment")


def judge_notes(notes: object) -> tuple[Finding, ...]:
    """What the node itself wants its owner to know."""
    texts = [text for text in notes if isinstance(text, str)] if isinstance(notes, list) else []
    if not texts:
        return ()
    what = f"The node has {len(texts)} note{'s' * (len(texts) != 1)} for its owner"
    return (warning(AREA, what, "see 'electrons status'", "; ".join(texts)),)


def judge_jobs(answer: Mapping[str, Any]) -> Finding:
    """Whether it would take work now."""
    availability = answer.get("availability")
    models = answer.get("models")
    count = len(models) if isinstance(models, list) else 0
    if isinstance(availability, Mapping) and availability.get("open") is False:
        cure = "'electrons resume' ends a pause; `schedule` and the pause_on settings do the rest"
        return warning(JOBS, "The node takes no jobs now", cure, availability.get("reason") or "")
    if not count:
        cure = "see the findings on engines; a gateway alone needs none"
        return warning(JOBS, "The node serves no model", cure)
    return ok(JOBS, f"The node takes jobs, with {count} model{'s' * (count != 1)}")
