"""Why a member does not take what is asked of it. Nothing was done in any of these cases."""

from __future__ import annotations

from mesh.errors import NoQuorum
from mesh.ids import NodeId


class NotLeader(NoQuorum):
    """Only the leader can do this. `leader`: who that is, as far as known."""

    def __init__(self, leader: NodeId | None) -> None:
        super().__init__("this member does not lead" if leader else "there is no leader")
        self.leader = leader


class Backlog(NoQuorum):
    """The leader has taken all that its bounds allow until a majority has it; or it hands over."""


class ChangeRefused(NoQuorum):
    """This change of members must not be made now. The text says why; it may work later."""
