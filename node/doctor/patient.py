"""What is known of a node before anything is checked: folder, settings, and what it says itself."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dht.join_address import JoinAddress
from mesh.storage.run_file import RunInfo
from node.config import Config


class Room(NamedTuple):
    """Bytes of a file system."""

    total: int
    free: int


def measure_room(path: Path) -> Room:
    """What an ordinary user may still write. Raises OSError."""
    usage = shutil.disk_usage(path)
    return Room(usage.total, usage.free)


def resolve(host: str) -> tuple[str, ...]:
    """Addresses of a name by the system's resolver. Blocks; raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Instruments:
    """How the doctor looks at the machine; tests put broken worlds in their place."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    room: Callable[[Path], Room] = measure_room
    resolve: Callable[[str], tuple[str, ...]] = resolve
    root: Path = Path("/")
    """Where /proc, /sys and /dev are read."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One node on this machine, running or not."""

    data_dir: Path
    config: Config | None
    """None when the settings do not load; `settings_error` then says why."""
    settings_error: str = ""
    settings_file: Path | None = None
    settings_of_daemon: bool = False
    """The settings are those of the running node's own command line."""
    held: bool | None = False
    """Some process holds the folder; None when that could not be told."""
    run_info: RunInfo | None = None
    """What the node that holds the folder left for other programs."""
    answer: Mapping[str, Any] | None = None
    """The body of GET /api/node; None when no node answered."""
    answer_error: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    named: tuple[JoinAddress, ...] = ()
    """Other places that the user asked to be tried."""
    udp: str = ""
    """A HOST:PORT that answers STUN and that the user asked to be tried."""
    instruments: Instruments = Instruments()

    @property
    def running(self) -> bool:
        """A node answers here."""
        return self.answer is not None
