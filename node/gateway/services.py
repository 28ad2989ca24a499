"""Services and their coverage as JSON, and service targets out of JSON. Pure."""

from __future__ import annotations

import re
from typing import Any

from mesh.coverage import CoverageReport, ServiceCoverage
from mesh.errors import InvalidRequest
from mesh.targets import MAX_REPLICAS, MAX_TARGET_NAME, ServiceTarget
from mesh.wire.assignment import MAX_PRIORITY
from mesh.wire.records import MAX_NAME
from node.gateway.fields import take_int, take_text

MAX_BYTES = 2**50
"""Of memory that a target may ask for: no machine has that."""
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_TARGET_NAME - 1}}}")


def coverage_object(report: CoverageReport) -> dict[str, Any]:
    """The body of GET /api/gaps."""
    return {
        "coordinator": report.coordinator,
        "note": report.note,
        "services": [_service_object(each) for each in report.services],
    }


def _service_object(each: ServiceCoverage) -> dict[str, Any]:
    return {
        "service": each.service,
        "model": each.model,
        "level": each.level,
        "priority": each.priority,
        "wanted": each.wanted,
        "providers": list(each.providers),
        "starting": list(each.starting),
        "reasons": list(each.reasons),
    }


def target_object(target: ServiceTarget) -> dict[str, Any]:
    """One target, as GET /api/services lists it."""
    return {
        "name": target.name,
        "model": target.model,
        "engine": target.engine,
        "priority": target.priority,
        "min_replicas": target.min_replicas,
        "memory": target.memory,
        "gpu_memory": target.gpu_memory,
    }


def parse_target(name: str, body: dict[str, Any]) -> ServiceTarget:
    """The target in a request's body. Raises InvalidRequest, naming the field."""
    name = parse_service_name(name)
    model = take_text(body, "model", MAX_NAME)
    if not model or not model.isprintable():
        raise InvalidRequest("model names the model to serve", param="model")
    engine = take_text(body, "engine", MAX_TARGET_NAME) or ""
    priority = take_int(body, "priority", 0, MAX_PRIORITY)
    replicas = take_int(body, "min_replicas", 0, MAX_REPLICAS)
    target = ServiceTarget(
        name,
        model,
        engine,
        priority=1 if priority is None else priority,
        min_replicas=1 if replicas is None else replicas,
        memory=take_int(body, "memory", 0, MAX_BYTES) or 0,
        gpu_memory=take_int(body, "gpu_memory", 0, MAX_BYTES) or 0,
    )
    for unknown in body:
        raise InvalidRequest(f"{unknown[:60]!r} is no field of a service", param=unknown[:60])
    return target


def parse_service_name(name: str) -> str:
    """A service's name out of a path. Raises InvalidRequest."""
    if _NAME.fullmatch(name):
        return name
    allowed = f"1 to {MAX_TARGET_NAME} letters, digits, '.', '-' or '_', a letter or digit first"
    raise InvalidRequest(f"a service's name has {allowed}", param="name")
