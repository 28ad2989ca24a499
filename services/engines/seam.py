"""Where new text meets text that was given out by an earlier worker."""

from __future__ import annotations

from mesh.jobs import Chunk


class Seam:
    """Watches for a stop sequence that began in the earlier text and ends in the new.

    Engines look for stop sequences only in what they write themselves. Chunks are held back while
    they may be the rest of one; when they are, nothing more comes out.
    """

    def __init__(self, earlier: str, stop: tuple[str, ...]) -> None:
        self._rests = {
            sequence[length:]
            for sequence in stop
            for length in range(1, len(sequence))
            if earlier.endswith(sequence[:length])
        }
        self._held: list[Chunk] = []
        self._text = ""
        self.stopped = False
        """True once a stop sequence was completed; its begun part stays with the earlier text."""

    def push(self, chunk: Chunk) -> list[Chunk]:
        """Take the next chunk; return those that are certain."""
        if self.stopped:
            return []
        if not self._rests:
            return [chunk]
        self._held.append(chunk)
        self._text += chunk.text
        if any(self._text.startswith(rest) for rest in self._rests):
            self.stopped = True
            self._held = []
            return []
        self._rests = {rest for rest in self._rests if rest.startswith(self._text)}
        return [] if self._rests else self.flush()

    def flush(self) -> list[Chunk]:
        """The answer ends: return what was held back."""
        held, self._held = self._held, []
        return held
