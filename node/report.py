"""What a node says of itself: to people, to programs, to metrics. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from mesh.capability import NodeState, Role
from mesh.links.pool import LinkPool
from mesh.version import VERSION
from node.admissions import NodeAdmissions
from node.banner import Banner
from node.belonging import Belonging
from node.config import Config
from node.coordinating import GroupDesk
from node.dispatch.candidates import AUTO
from node.door.doors import Doors
from node.gateway.owner_handlers import availability_object, limits_object
from node.gateway.settings import Health
from node.hardware.hardware import Hardware
from node.hardware.probe import probe_hardware
from node.hardware.summary import summarise
from node.own_state import own_state
from node.parts import Discovery, Work
from node.standing import free_roles, missing_grants


class Report:
    """Collects facts from the parts of one node when asked."""

    def __init__(
        self,
        *,
        config: Config,
        roles: tuple[Role, ...],
        belonging: Belonging,
        admissions: NodeAdmissions | None,
        links: LinkPool,
        discovery: Discovery,
        work: Work,
        group: GroupDesk,
        doors: Doors,
        trouble: Callable[[], str] = lambda: "",
    ) -> None:
        """`trouble` tells what is wrong with this node's own health."""
        self._config = config
        self._roles = roles
        self._belonging = belonging
        self._admissions = admissions
        self._group = group
        self._doors = doors
        self._links = links
        self._directory = discovery.directory
        self._table = discovery.table
        self._bootstrap = discovery.bootstrap
        self._registry = discovery.registry
        self._reach = discovery.reach
        self._relays = discovery.relays
        self._trouble = trouble
        self._catalog = work.catalog
        self._host = work.host
        self._dispatch = work.dispatch
        self._activation = work.activation
        self._comfort = work.comfort
        self._hardware: Hardware | None = None
        self.draining = False

    async def probe(self) -> None:
        """Look at the machine once; every probe has its own time limit."""
        self._hardware = await probe_hardware(self._config.data_dir)

    @property
    def hardware(self) -> Hardware | None:
        """What `probe` found; None before."""
        return self._hardware

    def state(self) -> str:
        """starting, first, isolated, joined or draining."""
        return "draining" if self.draining else self._bootstrap.state

    def own_state(self) -> tuple[NodeState, str]:
        """What the mesh is told of this node, and why."""
        ailing = self._catalog.ailing()
        engines = f"{', '.join(ailing)} does not answer" if ailing else ""
        return own_state(
            draining=self.draining,
            paused=self._comfort.availability.reason,
            troubles=(self._trouble(), engines),
        )

    def health(self) -> Health:
        """Ready unless draining or cut off from a mesh that should be there."""
        state = self.state()
        reason = "no other node answers; it keeps trying" if state == "isolated" else ""
        return Health(ready=state in ("first", "joined"), state=state, reason=reason)

    def aliases(self) -> Mapping[str, str]:
        """The configured names, and what `auto` would mean now when anything is served."""
        models = [*self._catalog.models(), *(p.model for p in self._directory.view.models())]
        best = next((m for m in models if m.ref.engine != "demo"), models[0] if models else None)
        automatic = {} if best is None else {AUTO: best.ref.name}
        return {**automatic, **self._config.aliases}

    def notes(self) -> tuple[str, ...]:
        """What the owner should know."""
        roles = [
            f"role {role} is not built yet and not advertised"
            for role in self._config.unbuilt_roles
        ]
        standing = self._belonging.standing.current
        lacking = missing_grants(
            self._config.built_roles, standing, free_roles(self._config.network)
        )
        conflicts = [conflict.text for conflict in self._links.conflicts]
        parts = (self._trouble(), self._registry.note(), self._group.note(), self._doors.note())
        degraded = [note for note in parts if note]
        engines = self._catalog.notes()
        degraded += [self._comfort.trouble] if self._comfort.trouble else []
        renewal = self._admissions.note() if self._admissions is not None else ""
        mine = (*self._belonging.notes(), *standing.notes, *((renewal,) if renewal else ()))
        return (*roles, *lacking, *mine, *engines, *conflicts, *degraded)

    def banner(self, http: str, mesh: str) -> Banner:
        """The facts for the ready line."""
        addresses = [url.removeprefix("tcp://") for url in self._links.addresses]
        return Banner(
            node_id=self._links.node_id,
            http=http,
            mesh=mesh,
            state=self.state(),
            network=self._config.network,
            join=f"{self._links.node_id}@{addresses[0]}" if addresses else "",
            hardware=summarise(self._hardware) if self._hardware else "",
            models=tuple(model.ref.name for model in self._catalog.models()),
            notes=self.notes(),
        )

    def node_info(self) -> Mapping[str, Any]:
        """The body of GET /api/node."""
        return {
            "version": VERSION,
            "network": self._config.network,
            "state": self.state(),
            "reason": self.health().reason,
            "roles": list(self._roles),
            "unbuilt_roles": list(self._config.unbuilt_roles),
            "addresses": list(self._reach.known.addresses),
            "reach": self._reach.facts(),
            "relays": self._relays.facts(),
            "doors": self._doors.facts(),
            "availability": availability_object(self._comfort.availability),
            "limits": limits_object(self._comfort.limits),
            "in_flight": self._host.in_flight,
            "load": asdict(self._host.load()),
            "links": len(self._links.all()),
            "models": [asdict(model) for model in self._catalog.models()],
            "aliases": dict(self._config.aliases),
            "assigned": [asdict(each) for each in self._activation.reports()],
            "hardware": asdict(self._hardware) if self._hardware else None,
            "notes": list(self.notes()),
        }

    def counters(self) -> Mapping[str, float]:
        """Figures for /metrics, by name."""
        figures: dict[str, float] = {
            "links": len(self._links.all()),
            "directory_nodes": len(self._directory.view.peers()),
            "directory_records_refused": self._directory.refused,
            "dht_contacts": self._table.contacts,
            "dht_records": self._table.held,
            "jobs_in_flight": self._host.in_flight,
            "links_lost_in_silence_total": self._links.metrics.links_closed["silence"],
        }
        figures |= self._registry.counters()
        figures |= self._group.counters()
        figures |= self._doors.counters()
        figures |= self._reach.counters()
        figures |= self._relays.counters()
        figures |= _plain_figures("link", asdict(self._links.metrics))
        figures |= _plain_figures("dht", asdict(self._table.counters))
        figures |= _plain_figures("host", asdict(self._host.counters))
        figures |= _plain_figures("dispatch", asdict(self._dispatch.counters))
        return figures


def _plain_figures(prefix: str, counters: Mapping[str, Any]) -> dict[str, float]:
    """Single numbers as they are; counts by cause as their sum."""
    return {
        f"{prefix}_{name}_total": sum(value.values()) if isinstance(value, dict) else value
        for name, value in counters.items()
    }
