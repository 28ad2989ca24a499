"""The in-memory twin of the port `Targets`, and a coverage report that never changes."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.coverage import CoverageReport, ServiceCoverage
from mesh.ids import NodeId
from mesh.targets import ServiceTarget

COORDINATOR = NodeId("c" * 40)
REPORT = CoverageReport(
    (
        ServiceCoverage("chat", "big", "critical", (), 2, 0, (), ("no node holds model big",)),
        ServiceCoverage("tags", "small", "ok", (COORDINATOR,), 1, 3),
    ),
    COORDINATOR,
)


class ListedTargets:
    """Implements `mesh.coverage.Targets`; raises `failure` instead when that is set."""

    def __init__(self, *targets: ServiceTarget) -> None:
        self._targets = {target.name: target for target in targets}
        self.failure: Exception | None = None

    async def list(self) -> Sequence[ServiceTarget]:
        self._fail()
        return [self._targets[name] for name in sorted(self._targets)]

    async def set(self, target: ServiceTarget) -> None:
        self._fail()
        self._targets[target.name] = target

    async def remove(self, name: str) -> bool:
        self._fail()
        return self._targets.pop(name, None) is not None

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


async def fixed_coverage() -> CoverageReport:
    return REPORT
