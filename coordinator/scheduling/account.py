"""A trace in words and figures, for whoever asks why. Pure; made when asked, never before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from coordinator.scheduling.policy import Candidate, predict
from coordinator.scheduling.trace import Considered, Step, Trace
from mesh.jobs import Privacy

SHORT_ID = 8
"""Characters of a node's id in sentences, as in other listings."""
_UNSAFE = re.compile(r"[^a-z0-9_]")
_EXCLUDED: Mapping[str, str] = {
    "draining": "leaving",
    "gone": "gone",
    "starting": "still starting",
    "privacy": "not trusted with a request of this privacy",
    "context": "with too small a context for the prompt",
}
_CAUSES: Mapping[str, str] = {
    "busy": "it was busy",
    "draining": "it was leaving",
    "model_not_found": "it did not serve the model any more",
    "not_supported": "it could not do what was asked",
    "link_crash": "its link broke",
    "link_silence": "it fell silent",
    "link_clean": "it said goodbye",
    "link_protocol": "its link did not follow the protocol",
    "reset": "it answered no more",
    "protocol": "what it sent made no sense",
    "timeout": "it did not answer in time",
    "no_way": "there was no way to it",
    "privacy": "it may not serve a request of this privacy",
    "untrusted": "it did not prove that it may see a request of this privacy",
}
_OUTCOMES: Mapping[str | None, str] = {
    None: "is running",
    "finished": "was answered in full",
    "failed": "failed",
    "cancelled": "was given up by its client",
}

_SEEN_BY: Mapping[Privacy, str] = {
    "trusted": "only for nodes with a grant",
    "own": "only for its owner's nodes",
}


def account_for(trace: Trace) -> dict[str, Any]:
    """The body of GET /api/requests/{id}/why: what happened, step by step, times from the start."""
    steps = trace.steps
    last = steps[-1] if steps else None
    return {
        "request_id": trace.request_id or trace.job_id,
        "job_id": trace.job_id,
        "model": trace.model,
        "privacy": trace.privacy,
        "outcome": trace.outcome or "running",
        "summary": _summary(trace),
        "steps_left_out": trace.left_out,
        "total_ms": _ms(last.at - trace.started) if last is not None else 0.0,
        "steps": [_step(step, trace) for step in steps],
    }


def _summary(trace: Trace) -> str:
    steps = trace.steps
    seen_by = "" if trace.privacy == "public" else f" ({_SEEN_BY[trace.privacy]})"
    losses = sum(step.kind == "lost" for step in steps)
    offers = max((step.number for step in steps if step.kind == "offered"), default=0)
    words = f"The request for {trace.model}{seen_by} {_OUTCOMES[trace.outcome]}"
    if offers:
        words += f" after {_count(offers, 'offer')}"
    return f"{words} and {_count(losses, 'lost worker')}." if losses else f"{words}."


def _step(step: Step, trace: Trace) -> dict[str, Any]:
    told: dict[str, Any] = {"at_ms": _ms(step.at - trace.started), "kind": step.kind}
    if step.node is not None:
        told["node"] = step.node
    if step.code:
        told["code"] = _safe(step.code)
    if step.kind == "offered":
        told["attempt"] = step.number
    elif step.kind in ("lost", "resumed"):
        told["characters"] = step.number
    if step.decision is not None:
        told |= _decision(step.decision)
    told["says"] = _sentence(step, trace.model)
    return told


def _decision(decision: Considered) -> dict[str, Any]:
    return {
        "known": decision.known,
        "fit": decision.fit,
        "excluded": {_safe(reason): count for reason, count in decision.excluded.items()},
        "candidates": [_candidate(candidate) for candidate in decision.best],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    parts = predict(candidate)
    load = candidate.load
    reported = load.in_flight + load.queued
    return {
        "node": candidate.node,
        "predicted_ms": _ms(parts.seconds),
        "queue_ms": _ms(parts.queue),
        "way_ms": _ms(parts.way),
        "loading_ms": _ms(parts.loading),
        "run_ms": _ms(parts.run),
        "saved_ms": _ms(parts.saved),
        "jobs": max(reported if candidate.busy is None else candidate.busy, candidate.outstanding),
        "slots": candidate.model.slots,
    }


def _sentence(step: Step, model: str) -> str:
    if step.decision is not None:
        return _choice(step.decision, model)
    node = step.node[:SHORT_ID] if step.node is not None else ""
    why = _CAUSES.get(step.code, f"code {_safe(step.code)}")
    sentences = {
        "offered": f"Offered to {node} (offer {step.number}).",
        "accepted": f"{node} took it.",
        "refused": f"{node} refused: {why}{_again(step.seconds)}.",
        "unreachable": f"{node} could not be used: {why}.",
        "waited": f"Everybody who could take it was busy; waited {step.seconds:.2f} s.",
        "started": f"{node} began to answer.",
        "lost": f"{node} was lost after {_count(step.number, 'character')}: {why}.",
        "resumed": f"{node} went on after {_count(step.number, 'character')}.",
        "finished": f"{node} completed the answer.",
        "failed": f"It failed with {_safe(step.code)}.",
        "cancelled": "The client went before it was complete.",
    }
    return sentences[step.kind]


def _choice(decision: Considered, model: str) -> str:
    words = f"{_count(decision.known, 'node')} known to serve {model}"
    left_out = [f"{count} {_reason(reason)}" for reason, count in decision.excluded.items()]
    if left_out:
        words += f"; left out: {', '.join(left_out)}"
    if not decision.best:
        return f"{words}; nobody was left."
    looked = decision.fit + sum(decision.excluded.values())
    if looked < decision.known:
        words += f"; {looked} of them were looked at"
    first = decision.best[0]
    parts = predict(first)
    named = (
        ("queue", parts.queue),
        ("way", parts.way),
        ("loading the model", parts.loading),
        ("work", parts.run),
    )
    told = " + ".join(f"{name} {seconds:.2f}" for name, seconds in named if seconds >= 0.005)
    saved = f" - prompt seen before {parts.saved:.2f}" if parts.saved >= 0.005 else ""
    chosen = f"{first.node[:SHORT_ID]} comes first with {parts.seconds:.2f} s predicted"
    return f"{words}. {chosen} ({told or 'work 0.00'}{saved}){_compared(decision)}."


def _compared(decision: Considered) -> str:
    if len(decision.best) < 2:
        return ""
    others = [predict(candidate).seconds for candidate in decision.best[1:]]
    least, most = f"{min(others):.2f}", f"{max(others):.2f}"
    return f"; next best {least} s" if least == most else f"; next best {least} to {most} s"


def _reason(reason: str) -> str:
    if reason.startswith("no_"):
        return f"without {_safe(reason[3:])}"
    return _EXCLUDED.get(reason, _safe(reason))


def _again(seconds: float) -> str:
    return f", for about {seconds:.2f} s more" if seconds > 0 else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _safe(code: str) -> str:
    """A code that a peer may have chosen, with nothing in it but letters, digits and `_`."""
    return _UNSAFE.sub("", code)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
