"""Bytes of tokens in, text that may be shown out."""

from __future__ import annotations

import codecs


class TextStream:
    """Decodes UTF-8 that is split anywhere and ends the text before the first stop sequence.

    What comes out depends on the bytes only, not on how they were cut: characters that might be the
    start of a stop sequence are held back until they are not.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        """`stop` holds sequences that are not empty; none of them is ever shown."""
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._skip = 0
        self.length = 0
        """Characters given out so far, here or before a resumption."""
        self.stopped = False
        """True once a stop sequence was met; nothing comes out any more."""

    def push(self, data: bytes) -> str:
        """Take bytes; return the text that is now certain."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(data)
        end = self._find_stop()
        if end is None:
            return self._give(len(self._held) - self._count_doubtful())
        self.stopped = True
        return self._give(end)

    def resume(self, given: str, shown: str) -> str:
        """Go on where `shown` was seen by the reader, after pushes here that gave `given`.

        Returns what of `given` the reader has not seen. An engine that holds back less may have
        shown more than is certain here; those characters do not come out again.
        """
        self._skip = max(0, len(shown) - len(given))
        return given[len(shown) :]

    def flush(self) -> str:
        """The text ends: return what was held back. Half a character is dropped."""
        return "" if self.stopped else self._give(len(self._held))

    def _give(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        self.length += count
        skipped = min(self._skip, count)
        self._skip -= skipped
        return text[skipped:]

    def _find_stop(self) -> int | None:
        """Where the stop sequence starts that is complete first; of equals the longest."""
        found = []
        for sequence in self._stop:
            start = self._held.find(sequence)
            if start >= 0:
                found.append((start + len(sequence), start))
        return min(found)[1] if found else None

    def _count_doubtful(self) -> int:
        """Length of the longest end of the held text that is the start of a stop sequence."""
        longest = max((len(sequence) for sequence in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            end = self._held[-length:]
            if any(sequence.startswith(end) for sequence in self._stop):
                return length
        return 0
