"""A folder in memory that loses what was not synced, as a disk may when the power fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

SECTOR = 512
"""Bytes a disk writes whole or, in the one it is at when the power fails, up to some byte."""


@dataclass(slots=True)
class _Inode:
    """One file: what the disk holds, and what has been done to it since."""

    durable: bytearray = field(default_factory=bytearray)
    current: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes (offset, data) and truncations (size, None)."""

    def settle(self) -> None:
        """Bring what is pending, and only that, to the disk."""
        for offset, data in self.pending:
            if data is None:
                _cut(self.durable, offset)
            else:
                _put(self.durable, offset, data)
        self.pending.clear()


@dataclass(slots=True)
class Faults:
    """What goes wrong on purpose."""

    room: int | None = None
    """Bytes that can still be written before the disk is full; None: plenty."""
    sync_fails: bool = False
    sync_lies: bool = False
    """It returns without having written: the deliberate bug that the power-loss test must find."""
    steps: int | None = None
    """Operations until the power fails in the middle of one; None: it stays."""

    def step(self) -> None:
        """Count one operation. Raises PowerFailure."""
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                raise PowerFailure


class PowerFailure(BaseException):
    """Nothing can catch it and go on; call `power_loss` and start anew."""


class MemoryFile:
    """An `OpenFile` of a `MemoryFolder`."""

    def __init__(self, inode: _Inode, faults: Faults) -> None:
        self._inode = inode
        self._faults = faults

    def write(self, offset: int, data: bytes) -> None:
        data = self._fitting(data)
        _put(self._inode.current, offset, data)
        self._inode.pending.append((offset, data))
        self._faults.step()
        if self._faults.room == 0:
            raise OSError(28, "No space left on device")

    def truncate(self, size: int) -> None:
        _cut(self._inode.current, size)
        self._inode.pending.append((size, None))
        self._faults.step()

    def sync(self) -> None:
        self._faults.step()
        if self._faults.sync_fails:
            # As on Linux: the pages count as clean now, yet they never reached the disk.
            self._inode.pending.clear()
            raise OSError(5, "Input/output error")
        if not self._faults.sync_lies:
            self._inode.settle()

    def close(self) -> None:
        return

    def _fitting(self, data: bytes) -> bytes:
        if self._faults.room is not None:
            data = data[: self._faults.room]
            self._faults.room -= len(data)
        return data


class MemoryFolder:
    """A `Folder` whose `power_loss` keeps the synced and, of the rest, whatever chance decides."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._names: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        self._pending: list[dict[str, _Inode | None]] = []
        """Changes of names since the last sync; each happens wholly or not at all."""

    def names(self) -> list[str]:
        return sorted(self._names)

    def read(self, name: str) -> bytes:
        return bytes(self._find(name).current)

    def open(self, name: str) -> MemoryFile:
        if name not in self._names:
            self._change({name: _Inode()})
        return MemoryFile(self._names[name], self.faults)

    def rename(self, old: str, new: str) -> None:
        self._change({new: self._find(old), old: None})

    def remove(self, name: str) -> None:
        self._find(name)
        self._change({name: None})

    def sync(self) -> None:
        self.faults.step()
        if not self.faults.sync_lies:
            self._durable = dict(self._names)
            self._pending.clear()

    def power_loss(self, rng: Random) -> None:
        """Keep what was synced; of later changes any part, torn sector by sector."""
        for change in self._pending:
            if rng.random() < 0.5:
                _rename(self._durable, change)
        self._pending.clear()
        self._names = dict(self._durable)
        for inode in self._names.values():
            for offset, data in inode.pending:
                if rng.random() < 0.5:
                    _apply_torn(inode.durable, offset, data, rng)
            inode.pending.clear()
            inode.current[:] = inode.durable
        self.faults = Faults()

    def flip(self, name: str, bit: int) -> None:
        """Turn one bit of a file around, as a decaying disk does."""
        inode = self._find(name)
        inode.current[bit // 8] ^= 1 << (bit % 8)
        inode.durable[:] = inode.current

    def __str__(self) -> str:
        return "memory"

    def _find(self, name: str) -> _Inode:
        if name not in self._names:
            raise FileNotFoundError(2, "No such file", name)
        return self._names[name]

    def _change(self, change: dict[str, _Inode | None]) -> None:
        _rename(self._names, change)
        self._pending.append(change)
        self.faults.step()


def _rename(names: dict[str, _Inode], change: dict[str, _Inode | None]) -> None:
    for name, inode in change.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _cut(content: bytearray, size: int) -> None:
    if len(content) > size:
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def _apply_torn(content: bytearray, offset: int, data: bytes | None, rng: Random) -> None:
    if data is None:
        _cut(content, offset)
        return
    start = 0
    while start < len(data):
        end = start + SECTOR - (offset + start) % SECTOR
        chunk = data[start:end]
        kept = rng.choice((0, rng.randint(0, len(chunk)), len(chunk), len(chunk)))
        if kept:
            _put(content, offset + start, chunk[:kept])
        start = end
