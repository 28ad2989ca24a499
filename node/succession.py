"""One release takes over from another: same process, same ports, nobody is turned away.

`electrons update` names a successor in the data folder and signals the daemon. The daemon finishes
what it promised, keeps its listening sockets open, and becomes the successor (`execve`), which
finds the sockets' numbers in its environment. Connections that come meanwhile wait in the backlog.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import StorageError
from mesh.identity.private_file import read_private, write_private
from node.environment import PREFIX, environment, take_variable

SUCCESSOR_FILE = "successor"
WHAT = "the file that names a successor"
SOCKETS = "SOCKETS"
"""Variable: name=descriptor pairs, with commas."""


@dataclass(frozen=True, slots=True)
class Succession:
    """What the daemon becomes when it has stopped."""

    executable: str
    sockets: Mapping[str, int]
    """Listening sockets to pass on: copies that nothing else owns."""

    def take_place(self, arguments: Sequence[str]) -> None:
        """Become the successor. Does not return; raises OSError when it cannot be run."""
        named = []
        for name, descriptor in self.sockets.items():
            os.set_inheritable(descriptor, True)
            named.append(f"{name}={descriptor}")
        variables = {**environment(), PREFIX + SOCKETS: ",".join(named)}
        os.execve(self.executable, [self.executable, *arguments], variables)


def name_successor(folder: Path, executable: Path) -> None:
    """Leave word for the daemon that holds the folder. Raises StorageError."""
    write_private(folder / SUCCESSOR_FILE, json.dumps(str(executable)).encode(), WHAT)


def take_successor(folder: Path) -> str | None:
    """The named program, once; None when there is none or it cannot be run."""
    path = folder / SUCCESSOR_FILE
    data = read_private(path, WHAT)
    path.unlink(missing_ok=True)
    try:
        executable = json.loads(data or b"null")
    except ValueError:
        raise StorageError(f"{path} is damaged: run 'electrons update' again") from None
    if isinstance(executable, str) and os.access(executable, os.X_OK):
        return executable
    return None


def inherited_sockets() -> dict[str, socket.socket]:
    """Listening sockets a predecessor left open, by name; asked once, at the start."""
    sockets: dict[str, socket.socket] = {}
    given = take_variable(SOCKETS)
    for pair in filter(None, given.split(",")):
        name, _, number = pair.partition("=")
        with contextlib.suppress(ValueError, OSError):
            inherited = socket.socket(fileno=int(number))
            inherited.setblocking(False)
            os.set_inheritable(inherited.fileno(), False)
            sockets[name] = inherited
    return sockets


def copy_listening(descriptors: Sequence[int]) -> int | None:
    """A copy of the only listening socket; None when there are several, which are bound anew."""
    return os.dup(descriptors[0]) if len(descriptors) == 1 else None
