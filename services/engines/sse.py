"""Server-sent events: html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.

Only `data` matters to engine answers; `event`, `id` and `retry` are read over. A lone CR as line
end is not taken: no engine sends it, and waiting for a possible LF would delay every token.
"""

from __future__ import annotations

from mesh.errors import EngineError
from services.engines.lines import MAX_LINE, LineSplitter


class EventParser:
    """Turns bytes, however they are cut, into the `data` of events."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._lines = LineSplitter(limit)
        self._limit = limit
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Data of the events completed by these bytes. Raises EngineError beyond the limit."""
        events: list[bytes] = []
        for line in self._lines.feed(data):
            if line.startswith(b"data:"):
                self._add(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
                self._size = 0
        return events

    def _add(self, data: bytes) -> None:
        self._data.append(data)
        self._size += len(data) + 1
        if self._size > self._limit:
            raise EngineError(f"the engine sent an event of more than {self._limit} bytes")
