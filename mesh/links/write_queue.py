"""What leaves a link next: control frames, then streams by priority, in turn within a class."""

from __future__ import annotations

from collections import deque

from mesh.links.stream_state import StreamState
from mesh.ports import Priority
from mesh.wire.frames import CREDIT, DATA, encode_frame

_CLASSES = len(Priority)


class WriteQueue:
    """Chooses at the last moment, so that a control message overtakes queued bulk."""

    def __init__(self) -> None:
        self._control: deque[bytes] = deque()
        self.control_size = 0
        """Bytes of control frames queued."""
        self._ready: tuple[deque[StreamState], ...] = tuple(deque() for _ in range(_CLASSES))
        self._granting: dict[int, StreamState] = {}
        self.frames_out = 0
        self.unsent = 0
        """Bytes of messages queued on all streams."""

    def __bool__(self) -> bool:
        return bool(self._control or self._granting or any(self._ready))

    def push_control(self, frame: bytes) -> None:
        """Queue an encoded frame. The caller watches `control_size`."""
        self._control.append(frame)
        self.control_size += len(frame)

    def push_grant(self, stream: StreamState) -> None:
        """Send the stream's grantable credit with the next bytes."""
        self._granting[stream.id] = stream

    def push_stream(self, stream: StreamState) -> None:
        """The stream may have something to send now."""
        if not stream.queued and stream.sendable:
            stream.queued = True
            self._ready[stream.priority].append(stream)

    def forget(self, stream: StreamState) -> None:
        """The stream is over: account for what it had queued before `fail` drops it."""
        self.unsent -= stream.unsent
        self._granting.pop(stream.id, None)

    def collect(self, limit: int) -> tuple[bytes, list[StreamState]]:
        """Up to about `limit` bytes of frames, and the streams that moved."""
        parts: list[bytes] = []
        size = self._collect_control(parts)
        moved: list[StreamState] = []
        for ready in self._ready:
            while ready and size < limit:
                stream = ready.popleft()
                stream.queued = False
                if not stream.sendable:
                    continue  # reset meanwhile
                frame = self._encode_fragment(stream)
                parts.append(frame)
                size += len(frame)
                moved.append(stream)
                self.push_stream(stream)
        self.frames_out += len(parts)
        return b"".join(parts), moved

    def _collect_control(self, parts: list[bytes]) -> int:
        size = self.control_size
        parts.extend(self._control)
        self._control.clear()
        self.control_size = 0
        for stream in self._granting.values():
            frame = encode_frame(CREDIT, stream.id, stream.grant())
            parts.append(frame)
            size += len(frame)
        self._granting.clear()
        return size

    def _encode_fragment(self, stream: StreamState) -> bytes:
        flags, fragment = stream.next_fragment()
        self.unsent -= len(fragment)
        return encode_frame(DATA, stream.id, flags, fragment)
