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
from mesh.ports import Request

_FINAL: dict[str, type[JobError]] = {
    error.code: error for error in (InvalidRequest, ContextTooLong, NotSupported)
}


def final_error(code: str, reason: str, param: str | None) -> JobError | None:
    """What a worker calls wrong everywhere, if we agree that such a thing can be."""
    kind = _FINAL.get(code)
    return None if kind is None else kind(reason, param=param)


def all_failed(model: str, refusals: Collection[str]) -> JobError:
    """Every candidate was tried; `refusals` are the codes of those that did not want the job."""
    codes = set(refusals)
    if codes and codes <= {"model_not_found", "draining"}:
        return ModelUnavailable(f"No node serves '{model}' at present; try again shortly")
    if codes == {"not_supported"}:
        return NotSupported(f"No node serves '{model}' with what the request asks for")
    return JobFailed("Every node that serves the model failed at this request")


def nobody_fits(model: str, decision: Decision, request: Request) -> JobError:
    """Every candidate fell to a hard constraint."""
    lacking = [name[3:] for name in decision.excluded if name.startswith("no_")]
    if lacking:
        return NotSupported(f"No node serves '{model}' with {', '.join(sorted(lacking))}")
    if "context" in decision.excluded:
        return ContextTooLong("The prompt does not fit the context of any node's model")
    if "privacy" in decision.excluded:
        privacy = request.privacy
        return ModelUnavailable(f"No node that may see a '{privacy}' request serves the model")
    return ModelUnavailable(f"Every node that serves '{model}' is starting or leaving")


def overloaded(model: str, eta: float) -> Overloaded:
    """Every slot stayed busy until the deadline; `eta` in seconds."""
    retry_after = max(1, math.ceil(eta))
    return Overloaded(
        f"Every node that serves '{model}' is busy; try again in {retry_after} s",
        retry_after=retry_after,
    )


def cause_of(error: Exception) -> str:
    """A code for how an attempt broke off; never a peer's words."""
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
