"""Who is put out when strangers fill the room before the handshake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from mesh.links.antechamber import Antechamber
from mesh.links.handshake_gate import HandshakeGate
from mesh.links.pipe import Pipe


@dataclass(eq=False)
class Comer:
    """As much of a pipe as the room looks at."""

    source: str
    aborted: bool = False

    def abort(self) -> None:
        self.aborted = True


def enter(room: Antechamber, *sources: str) -> list[Comer]:
    comers = [Comer(source) for source in sources]
    for comer in comers:
        assert room.enter(cast(Pipe, comer))
    return comers


def test_the_oldest_of_the_busiest_host_goes_when_the_room_is_full() -> None:
    room = Antechamber(HandshakeGate(most=4, most_per_source=4))
    first, slow, *others = enter(room, "honest", "crowd", "crowd", "crowd")
    (late,) = enter(room, "other")
    assert slow.aborted
    assert not any(comer.aborted for comer in (first, late, *others))
    assert len(room) == 4


def test_one_host_never_has_more_than_its_share() -> None:
    room = Antechamber(HandshakeGate(most=4, most_per_source=2))
    enter(room, "crowd", "crowd")
    assert not room.enter(cast(Pipe, Comer("crowd")))
    enter(room, "honest")


def test_leaving_twice_counts_once() -> None:
    room = Antechamber(HandshakeGate(most=2, most_per_source=2))
    first, second = enter(room, "a", "a")
    for comer in (first, first, second):
        room.leave(cast(Pipe, comer))
    assert len(room) == 0
    enter(room, "a", "a")
