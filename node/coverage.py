"""Which services are covered, asked of whoever can tell; and the door for ASSIGNMENT streams."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from mesh.capability import Peer, ServedModel
from mesh.coverage import CoverageReport, ServiceCoverage
from mesh.errors import LinkError, WireError
from mesh.ids import NodeId
from mesh.ports import Link, Links, Provider, Stream, StreamKind
from mesh.wire.assignment import (
    Answer,
    AskCoverage,
    Assign,
    Coverage,
    Told,
    Unknown,
    decode_answer,
    decode_request,
    encode,
)

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0
"""Patience for one coordinator."""
MAX_ASKED = 3
"""Coordinators asked for one report."""
NOBODY_TELLS = (
    "no coordinator can be reached, so what should run is not known; listed is what this node "
    "sees served"
)

Report = Callable[[], CoverageReport | None]


class Seen(Protocol):
    """What this node sees of the others: the directory's view."""

    def peers(self) -> Sequence[Peer]: ...

    def models(self) -> Sequence[Provider]: ...


class CoverageDesk:
    """`ask` never fails: without any coordinator it tells what this node sees, and says so."""

    def __init__(
        self,
        *,
        own: NodeId,
        links: Links,
        view: Seen,
        own_models: Callable[[], Sequence[ServedModel]],
        report: Report | None = None,
    ) -> None:
        """`report`: this node's own, when it is a coordinator."""
        self._own = own
        self._links = links
        self._view = view
        self._own_models = own_models
        self._report = report

    def coordinate(self, report: Report) -> None:
        """This node is a coordinator, and this is how it reports."""
        self._report = report

    async def ask(self) -> CoverageReport:
        """The leader's report where it can be had, another coordinator's, else this node's."""
        best = self.own_report()
        if best is not None and not best.note:
            return best
        for link in await self._coordinators():
            found = await _ask(link)
            if found is None:
                continue
            if not found.note:
                return found
            best = best or found
        return best or self._seen()

    def own_report(self) -> CoverageReport | None:
        """What this node can say as a coordinator; None when it cannot."""
        return None if self._report is None else self._report()

    async def _coordinators(self) -> list[Link]:
        """Links whose other end has proved to be a coordinator; one is dialled if there is none."""
        linked = [link for link in self._links.all() if "coordinator" in link.roles]
        if linked:
            return linked[:MAX_ASKED]
        claims = [peer.record for peer in self._view.peers() if "coordinator" in peer.record.roles]
        found = []
        for record in claims[:MAX_ASKED]:
            try:
                link = await self._links.connect(
                    record.node_id, record.addresses, timeout=ASK_SECONDS
                )
            except (LinkError, TimeoutError) as error:
                log.debug("coordinator %s was not reached: %s", record.node_id[:8], error)
                continue
            if "coordinator" in link.roles:
                found.append(link)
        return found

    def _seen(self) -> CoverageReport:
        """What is served, by model; what should be is not known here."""
        served: dict[str, set[NodeId]] = {}
        for provider in self._view.models():
            served.setdefault(provider.model.ref.name, set()).add(provider.peer.record.node_id)
        for model in self._own_models():
            served.setdefault(model.ref.name, set()).add(self._own)
        services = tuple(
            ServiceCoverage("", model, "unknown", tuple(sorted(nodes)))
            for model, nodes in sorted(served.items())
        )
        return CoverageReport(services, None, NOBODY_TELLS)


async def _ask(link: Link) -> CoverageReport | None:
    request = encode(AskCoverage())
    try:
        data = await link.call(StreamKind.ASSIGNMENT, request, timeout=ASK_SECONDS)
        answer = decode_answer(data)
    except (LinkError, WireError, TimeoutError) as error:
        log.debug("coordinator %s did not tell: %s", link.peer[:8], error)
        return None
    return answer.report if isinstance(answer, Coverage) else None


class AssignmentDoor:
    """Answers ASSIGNMENT streams: assignments from proven coordinators, questions from anybody."""

    def __init__(self, *, obey: Callable[[Assign], Told], report: Report) -> None:
        self._obey = obey
        self._report = report

    async def serve(self, link: Link, stream: Stream) -> None:
        """Answer one request. Raises WireError for what is none, which resets the stream."""
        data = await stream.receive()
        if data is None:
            return
        request = decode_request(data)
        answer = self._follow(link, request) if isinstance(request, Assign) else self._tell()
        await stream.send(encode(answer))
        stream.finish()

    def _follow(self, link: Link, assign: Assign) -> Told:
        if "coordinator" not in link.roles:
            log.warning("%s is no coordinator and wanted to assign this node", link.peer[:8])
            reason = "only a coordinator of this mesh may assign"
            return Told(assign.term, assign.version, False, reason=reason)
        return self._obey(assign)

    def _tell(self) -> Answer:
        report = self._report()
        return Unknown("this node is no coordinator") if report is None else Coverage(report)
