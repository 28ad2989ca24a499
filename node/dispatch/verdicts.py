"""Why nobody runs a job, in words for its client. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection

from coordinator.scheduling.policy import Decision
from mesh.errors import (
    ContextTooLong,
    InvalidRequest,
    JobError,
    JobFailed,
    LinkClosed,
    ModelUnavailable,
    NotSupported,
    Overloaded,
    StreamReset,
    WireError,
)
from mesh.jobs import Privacy
from mesh.ports import Request
from node.dispatch.confidants import Untrusted

_FINAL: dict[str, type[JobError]] = {
    error.code: error for error in (InvalidRequest, ContextTooLong, NotSupported)
}
_AWAY = frozenset({"model_not_found", "draining"})
"""What workers say who would take the job at another time."""


def final_error(code: str, reason: str, param: str | None) -> JobError | None:
    """What a worker calls wrong everywhere, if we agree that such a thing can be."""
    kind = _FINAL.get(code)
    return None if kind is None else kind(reason, param=param)


def all_failed(model: str, refusals: Collection[str], privacy: Privacy) -> JobError:
    """Every candidate was tried; `refusals` are the codes of those that did not want the job."""
    codes = set(refusals)
    if privacy != "public" and "privacy" in codes and codes <= _AWAY | {"privacy"}:
        return not_private(model, privacy)
    if codes and codes <= _AWAY:
        return ModelUnavailable(f"No node serves '{model}' at present; try again shortly")
    if codes == {"not_supported"}:
        return NotSupported(f"No node serves '{model}' with what the request asks for")
    return JobFailed("Every node that serves the model failed at this request")


def nobody_fits(model: str, decision: Decision, request: Request) -> JobError:
    """Every candidate fell to a hard constraint."""
    if "privacy" in decision.excluded:
        return not_private(model, request.privacy)
    lacking = [name[3:] for name in decision.excluded if name.startswith("no_")]
    if lacking:
        return NotSupported(f"No node serves '{model}' with {', '.join(sorted(lacking))}")
    if "context" in decision.excluded:
        return ContextTooLong("The prompt does not fit the context of any node's model")
    return ModelUnavailable(f"Every node that serves '{model}' is starting or leaving")


def not_private(model: str, privacy: Privacy) -> ModelUnavailable:
    """Others might run it, but they may not see it; it is never offered to them all the same."""
    return ModelUnavailable(
        f"No node that may see a request of the privacy class '{privacy}' serves '{model}' with "
        "what it asks for; it was shown to nobody else"
    )


def overloaded(model: str, eta: float) -> Overloaded:
    """Every slot stayed busy until the deadline; `eta` in seconds."""
    retry_after = max(1, math.ceil(eta))
    return Overloaded(
        f"Every node that serves '{model}' is busy; try again in {retry_after} s",
        retry_after=retry_after,
    )


def cause_of(error: Exception) -> str:
    """A code for how an attempt broke off; never a peer's words."""
    if isinstance(error, Untrusted):
        return "untrusted"
    if isinstance(error, LinkClosed):
        return f"link_{error.cause}"
    if isinstance(error, StreamReset):
        return "reset"
    if isinstance(error, WireError):
        return "protocol"
    return "timeout" if isinstance(error, TimeoutError) else "no_way"


def lost(reason: str) -> JobFailed:
    """The worker is gone, something of its answer was given out, and nobody can go on."""
    return JobFailed(f"The node that served this request was lost before it was done; {reason}")
