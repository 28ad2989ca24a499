"""What is asked of a signed record beyond its signature: that its node takes part in the mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.ids import NodeId

Vet = Callable[[NodeId, Sequence[bytes]], None]
"""Given a node and the grants it shows, raises RecordRejected when it is to be believed nothing;
`mesh.identity.trust.Trust.vet` is one."""


def believe_all(node: NodeId, grants: Sequence[bytes]) -> None:
    """An open mesh asks for no grants."""
