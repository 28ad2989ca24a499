"""A node's part in the registry: every gateway follows one, a coordinator also serves its own."""

from __future__ import annotations

from collections.abc import Mapping

from coordinator.registry.feed import RegistryFeed
from coordinator.registry.known_nodes import KnownNodes
from coordinator.registry.server import RegistryServer
from dht.directory import Directory
from dht.vet import Vet, believe_all
from mesh.clock import Clock
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Links


class Registry:
    """Complements the directory's view. Without coordinators it does nothing.

    Call `start` after the directory's; the owner closes `tasks`.
    """

    def __init__(
        self,
        *,
        own: NodeId,
        mesh_id: MeshId,
        directory: Directory,
        links: Links,
        clock: Clock,
        tasks: Tasks,
        coordinator: bool = False,
        expected: bool = False,
        vet: Vet = believe_all,
    ) -> None:
        """`coordinator`: this node is one. `expected`: the mesh is founded, so there are some.

        `vet` refuses records of nodes that take no part in the mesh.
        """
        self.known = KnownNodes(own=own, directory=directory, clock=clock)
        self.feed = RegistryFeed(
            own=own,
            mesh_id=mesh_id,
            known=self.known,
            links=links,
            clock=clock,
            tasks=tasks,
            coordinator=coordinator,
            expected=expected,
            vet=vet,
        )
        self.server = (
            RegistryServer(
                own=own,
                directory=directory,
                known=self.known,
                links=links,
                clock=clock,
                tasks=tasks,
            )
            if coordinator
            else None
        )

    def start(self) -> None:
        """Follow, and on a coordinator serve."""
        self.feed.start()
        if self.server is not None:
            self.server.start()

    def note(self) -> str:
        """What the owner should know; "" when all is well."""
        return self.feed.note()

    def counters(self) -> Mapping[str, float]:
        """Figures for /metrics, by name."""
        figures: dict[str, float] = {
            "registry_nodes": len(self.known),
            "registry_followed": len(self.feed.following),
            "registry_records_refused": self.feed.refused + self.known.refused,
        }
        if self.server is not None:
            figures |= {
                "registry_rows": len(self.server),
                "registry_version": self.server.version,
                "registry_subscribers": self.server.subscribers,
                "registry_full_resyncs_total": self.server.full_resyncs,
            }
        return figures
