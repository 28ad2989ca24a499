"""Pipes whose other ends have proved nothing yet. A full room makes place for who comes next."""

from __future__ import annotations

from mesh.links.handshake_gate import HandshakeGate
from mesh.links.pipe import Pipe


class Antechamber:
    """Counts pipes in and out. An honest handshake is over in a few round trips.

    So when strangers fill the room, the one that has stayed longest is put out, of the host that
    most of them come from: neither many slow ones from one host nor from many keep others out.
    """

    def __init__(self, gate: HandshakeGate | None = None) -> None:
        self._gate = HandshakeGate() if gate is None else gate
        self._pipes: dict[Pipe, str] = {}
        """Their hosts, in the order in which they came."""

    def __len__(self) -> int:
        return len(self._pipes)

    def enter(self, pipe: Pipe) -> bool:
        """True when the handshake may begin; then call `leave`."""
        source = pipe.source
        if self._gate.full:
            self._put_out()
        entered = self._gate.enter(source)
        if entered:
            self._pipes[pipe] = source
        return entered

    def leave(self, pipe: Pipe) -> None:
        """The handshake is over. Safe to call twice."""
        source = self._pipes.pop(pipe, None)
        if source is not None:
            self._gate.leave(source)

    def _put_out(self) -> None:
        busiest = self._gate.busiest
        oldest = next(pipe for pipe, source in self._pipes.items() if source == busiest)
        self.leave(oldest)
        oldest.abort()
