"""Messages on ASSIGNMENT streams: one request, one answer.

A leader tells a node what to run (Assign) and hears how far that is (Told). Any node asks a
coordinator which services are covered (AskCoverage) and gets the report (Coverage), or Unknown from
who cannot tell. Every message is a msgpack array whose first item is its number; items a reader
does not know are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mesh.coverage import MAX_REASON, MAX_REASONS, CoverageLevel, CoverageReport, ServiceCoverage
from mesh.errors import WireError
from mesh.targets import MAX_REPLICAS, MAX_TARGET_NAME, MAX_TARGETS
from mesh.wire import fields
from mesh.wire.records import MAX_NAME

ASSIGN, TOLD, ASK_COVERAGE, COVERAGE, UNKNOWN = 1, 2, 3, 4, 5
"""Message numbers. Retired: none."""

MAX_ASSIGNMENT_MESSAGE = 56 * 1024
"""Bytes of one message. A larger report is cut: the most pressing services come first."""
MAX_ASSIGNED = 64
"""Models one node may be told to run, and report on."""
MAX_NODES = 64
"""Nodes named for one service; there may be more."""
MAX_PRIORITY = 1_000_000

RunState = Literal["waiting", "starting", "serving", "draining", "refused", "failed"]
_STATES = frozenset(get_args(RunState))
_LEVELS = frozenset(get_args(CoverageLevel))


@dataclass(frozen=True, slots=True)
class Assign:
    """The whole set of models the node is to run for the mesh; what is not in it is to end.

    (term, version) orders assignments: a node that has seen a higher pair refuses.
    """

    term: int
    version: int
    models: tuple[tuple[str, str], ...]
    """(model, engine); engine "" is whichever holds it."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """How far one model is on the node."""

    model: str
    state: RunState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """Answers Assign. When not `accepted`, (term, version) is what the node obeys instead."""

    term: int
    version: int
    accepted: bool
    reports: tuple[RunReport, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AskCoverage:
    """Asks a coordinator for its report."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Answers AskCoverage."""

    report: CoverageReport


@dataclass(frozen=True, slots=True)
class Unknown:
    """Answers AskCoverage when the node is no coordinator, or knows no targets now."""

    reason: str


Request = Assign | AskCoverage
Answer = Told | Coverage | Unknown


def encode(message: Request | Answer) -> bytes:
    """Encode a message. Raises WireError when it is larger than MAX_ASSIGNMENT_MESSAGE."""
    match message:
        case Assign(term, version, models):
            parts: list[Any] = [ASSIGN, term, version, [list(model) for model in models]]
        case Told(term, version, accepted, reports, reason):
            listed = [[each.model, each.state, each.reason[:MAX_REASON]] for each in reports]
            parts = [TOLD, term, version, accepted, listed, reason[:MAX_REASON]]
        case AskCoverage():
            parts = [ASK_COVERAGE, 0]
        case Coverage(report):
            return _encode_report(report)
        case Unknown(reason):
            parts = [UNKNOWN, reason[:MAX_REASON]]
    data = fields.pack(parts)
    if len(data) > MAX_ASSIGNMENT_MESSAGE:
        raise WireError(f"an assignment message of {len(data)} bytes is too large")
    return data


def decode_request(data: bytes) -> Request:
    """What was asked on a stream. Raises WireError."""
    message = _decode(data, _REQUESTS)
    assert isinstance(message, Assign | AskCoverage)
    return message


def decode_answer(data: bytes) -> Answer:
    """What was answered. Raises WireError."""
    message = _decode(data, _ANSWERS)
    assert isinstance(message, Told | Coverage | Unknown)
    return message


def _decode(data: bytes, decoders: dict[int, Callable[[list[Any]], Any]]) -> Any:
    parts = fields.unpack(data, most=MAX_ASSIGNMENT_MESSAGE)
    decoder = decoders.get(fields.whole(parts[0])) if len(parts) > 1 else None
    if decoder is None:
        raise WireError("an unknown assignment message")
    try:
        return decoder(parts)
    except IndexError:
        raise WireError("an assignment message is too short") from None


def _assign(parts: list[Any]) -> Assign:
    models = tuple(_model(item) for item in fields.listed(parts[3], most=MAX_ASSIGNED))
    return Assign(fields.whole(parts[1]), fields.whole(parts[2]), models)


def _model(item: object) -> tuple[str, str]:
    pair = fields.listed(item, most=8)
    return fields.text(pair[0], most=MAX_NAME), fields.text(pair[1], most=MAX_NAME)


def _told(parts: list[Any]) -> Told:
    reports = tuple(_run_report(item) for item in fields.listed(parts[4], most=MAX_ASSIGNED))
    return Told(
        fields.whole(parts[1]),
        fields.whole(parts[2]),
        _flag(parts[3]),
        reports,
        fields.text(parts[5], most=MAX_REASON),
    )


def _run_report(item: object) -> RunReport:
    row = fields.listed(item, most=8)
    state = _one_of(row[1], _STATES)
    return RunReport(
        fields.text(row[0], most=MAX_NAME), state, fields.text(row[2], most=MAX_REASON)
    )


def _encode_report(report: CoverageReport) -> bytes:
    """As many services as fit, in order."""
    rows = [_pack_service(each) for each in report.services]
    coordinator = None if report.coordinator is None else bytes.fromhex(report.coordinator)
    note, whole = report.note, len(rows)
    while True:
        data = fields.pack([COVERAGE, coordinator, note[:MAX_REASON], rows])
        if len(data) <= MAX_ASSIGNMENT_MESSAGE:
            return data
        rows = rows[: len(rows) * 9 // 10]
        note = f"only the {len(rows)} most pressing of {whole} services are listed"


def _pack_service(each: ServiceCoverage) -> list[Any]:
    return [
        each.service,
        each.model,
        each.level,
        [bytes.fromhex(node) for node in each.providers[:MAX_NODES]],
        each.wanted,
        each.priority,
        [bytes.fromhex(node) for node in each.starting[:MAX_NODES]],
        [reason[:MAX_REASON] for reason in each.reasons[:MAX_REASONS]],
    ]


def _coverage(parts: list[Any]) -> Coverage:
    services = tuple(_service(item) for item in fields.listed(parts[3], most=MAX_TARGETS))
    coordinator = None if parts[1] is None else fields.node_id(parts[1])
    note = fields.text(parts[2], most=MAX_REASON)
    return Coverage(CoverageReport(services, coordinator, note))


def _service(item: object) -> ServiceCoverage:
    row = fields.listed(item, most=32)
    reasons = fields.listed(row[7], most=MAX_REASONS)
    return ServiceCoverage(
        service=fields.text(row[0], most=MAX_TARGET_NAME),
        model=fields.text(row[1], most=MAX_NAME),
        level=_one_of(row[2], _LEVELS),
        providers=_nodes(row[3]),
        wanted=fields.whole(row[4], most=MAX_REPLICAS),
        priority=fields.whole(row[5], most=MAX_PRIORITY),
        starting=_nodes(row[6]),
        reasons=tuple(fields.text(reason, most=MAX_REASON) for reason in reasons),
    )


def _nodes(value: object) -> tuple[Any, ...]:
    return tuple(fields.node_id(item) for item in fields.listed(value, most=MAX_NODES))


def _one_of(value: object, known: frozenset[str]) -> Any:
    """A word of a closed set, or "unknown" where the set has that word for words to come."""
    word = fields.text(value, most=MAX_NAME)
    if word in known:
        return word
    if "unknown" in known:
        return "unknown"
    raise WireError(f"{word[:40]!r} is no state of a model")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise WireError("expected true or false")
    return value


_REQUESTS: dict[int, Callable[[list[Any]], Any]] = {
    ASSIGN: _assign,
    ASK_COVERAGE: lambda parts: AskCoverage(),
}
_ANSWERS: dict[int, Callable[[list[Any]], Any]] = {
    TOLD: _told,
    COVERAGE: _coverage,
    UNKNOWN: lambda parts: Unknown(fields.text(parts[1], most=MAX_REASON)),
}
