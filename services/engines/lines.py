"""Lines out of a byte stream, with a bound."""

from __future__ import annotations

from mesh.errors import EngineError

MAX_LINE = 8 * 1024 * 1024
"""Bytes of one line; a streamed answer's line is some hundred bytes, with logprobs some 10 KiB."""


class LineSplitter:
    """Cuts bytes, however they arrive, into lines without their LF or CRLF."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Complete lines so far. Raises EngineError when one grows beyond the limit."""
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._limit:
            raise EngineError(f"the engine sent a line of more than {self._limit} bytes")
        return [line[:-1] if line.endswith(b"\r") else line for line in lines]

    def rest(self) -> bytes:
        """What came after the last line end."""
        return self._rest
