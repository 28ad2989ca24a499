"""GET /api/coordinators: who leads, who votes, who lags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from mesh.consensus import GroupReport
from mesh.ids import NodeId
from node.gateway.application import Handler
from node.gateway.exchange import Answer, Incoming, Reply
from node.gateway.routes import Route

AskGroup = Callable[[], Awaitable[GroupReport | None]]
NONE = "no coordinator answers: this mesh has none, or none can be reached"


class GroupHandlers:
    """Answers to everybody who may use the node."""

    def __init__(self, ask: AskGroup, note: Callable[[], str]) -> None:
        self._ask = ask
        self._note = note

    def routes(self) -> list[Route[Handler]]:
        """What these handlers answer."""
        return [Route("GET", "/api/coordinators", self.show)]

    async def show(self, incoming: Incoming, reply: Reply) -> None:
        """GET /api/coordinators."""
        report = await self._ask()
        note = self._note() or ("" if report else NONE)
        await reply.send(Answer(200, orjson.dumps(group_object(report, note))))


def group_object(report: GroupReport | None, note: str) -> dict[str, Any]:
    """The JSON form of a report."""
    if report is None:
        return {"group": None, "leader": None, "members": [], "note": note}
    members = [
        *(_member(report, node, "voter") for node in report.members.voters),
        *(_member(report, node, "standby") for node in report.members.standbys),
    ]
    return {
        "group": report.group,
        "leader": report.leader,
        "term": report.term,
        "commit": report.commit,
        "applied": report.applied,
        "reporter": report.reporter,
        "members": members,
        "note": note,
    }


def _member(report: GroupReport, node: NodeId, part: str) -> dict[str, Any]:
    return {
        "node_id": node,
        "part": part,
        "leads": node == report.leader,
        "lag": 0 if node == report.reporter else report.lag.get(node),
        "silent": node in report.silent,
    }
