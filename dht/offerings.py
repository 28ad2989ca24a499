"""What this node publishes in the table, and when each entry is due again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.capability import NodeRecord, ServedModel
from mesh.wire.dht_records import DhtKind

TTL = 1_800.0
REPUBLISH_AFTER = 600.0
"""Seconds a record lives with its holders, and until it is stored again: two may fail."""
RETRY_FIRST = 1.0
RETRY_MOST = 60.0
"""Seconds until a record that nobody took is tried again; doubled from first to most."""
GROWTH_PAUSE = 2.0
"""Seconds between storings that only the growth of the table calls for."""
MAX_OFFERINGS = 1_024
"""Names one node publishes; a holder takes no more from one origin either."""

Name = tuple[DhtKind, str]


@dataclass(slots=True)
class Offering:
    """One name this node stands for."""

    kind: DhtKind
    name: str
    node: NodeRecord
    model: ServedModel | None
    withdrawn: bool = False
    stored_at: float | None = None
    """When holders last took it, and how many contacts were known then."""
    stored_among: int = 0
    failures: int = 0
    tried_at: float = 0.0

    def due_at(self, contacts: int) -> float:
        """When it should be stored (again): at once after a change or when the table doubled."""
        if self.failures:
            backoff: float = RETRY_FIRST * 2 ** min(self.failures - 1, 10)
            return self.tried_at + min(RETRY_MOST, backoff)
        if self.stored_at is None:
            return 0.0
        if contacts >= 2 * max(1, self.stored_among):
            return self.stored_at + GROWTH_PAUSE
        return self.stored_at + REPUBLISH_AFTER


class Offerings:
    """All names this node stands for."""

    def __init__(self) -> None:
        self._by_name: dict[Name, Offering] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def replace(self, node: NodeRecord) -> None:
        """Stand for exactly this node's roles and models from now on."""
        wanted = dict(_names(node)[:MAX_OFFERINGS])
        for name, offering in self._by_name.items():
            if name not in wanted and not offering.withdrawn:
                offering.withdrawn, offering.stored_at, offering.failures = True, None, 0
        for name, model in wanted.items():
            self._want(name, node, model)

    def due(self, now: float, contacts: int) -> list[Offering]:
        """What should be stored now."""
        return [each for each in self._by_name.values() if each.due_at(contacts) <= now]

    def next_due(self, contacts: int) -> float | None:
        """When something is due next."""
        return min((each.due_at(contacts) for each in self._by_name.values()), default=None)

    def stored(self, offering: Offering, holders: int, contacts: int, now: float) -> None:
        """Note how many holders took it. What was withdrawn and is stored so is forgotten."""
        offering.tried_at = now
        if holders == 0:
            offering.failures += 1
            return
        offering.failures, offering.stored_at, offering.stored_among = 0, now, contacts
        name = (offering.kind, offering.name)
        if offering.withdrawn and self._by_name.get(name) is offering:
            del self._by_name[name]

    def withdraw_all(self) -> list[Offering]:
        """Everything still offered, now withdrawn."""
        live = [each for each in self._by_name.values() if not each.withdrawn]
        for offering in live:
            offering.withdrawn, offering.stored_at = True, None
        return live

    def _want(self, name: Name, node: NodeRecord, model: ServedModel | None) -> None:
        old = self._by_name.get(name)
        if old is not None and not old.withdrawn and _same(old, node, model):
            old.node = node
            return
        kind, text = name
        self._by_name[name] = Offering(kind, text, node, model)


def _names(node: NodeRecord) -> list[tuple[Name, ServedModel | None]]:
    roles: list[tuple[Name, ServedModel | None]] = [
        (("service", role), None) for role in node.roles
    ]
    return roles + [(("model", served.ref.name), served) for served in node.models]


def _same(old: Offering, node: NodeRecord, model: ServedModel | None) -> bool:
    """Whether readers would see no difference: slots and speed come over a link before any job."""
    before, after = old.model, model
    if (before is None) != (after is None):
        return False
    if before is not None and after is not None and before.ref != after.ref:
        return False
    return (old.node.addresses, old.node.roles, old.node.state, old.node.grants) == (
        node.addresses,
        node.roles,
        node.state,
        node.grants,
    )
