"""run.json: how the other commands find a running daemon, and prove that they may command it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mesh.errors import StorageError
from mesh.identity.private_file import read_private, write_private

RUN_FILE = "run.json"
WHAT = "the run file"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a running daemon leaves for its user's other programs."""

    url: str
    """Base of the HTTP API, without a slash at the end."""
    token: str
    """Opens the API as the local user. Anew at every start."""
    pid: int
    node_id: str
    mesh: str
    """HOST:PORT where links are taken."""
    version: str = ""
    """The release that runs."""
    command: str = ""
    """The program and its arguments as one line for a shell, to start it again."""


def write_run_file(folder: Path, info: RunInfo) -> None:
    """Publish it, mode 0600, in one step. Raises StorageError."""
    write_private(folder / RUN_FILE, json.dumps(asdict(info)).encode(), WHAT)


def read_run_file(folder: Path) -> RunInfo | None:
    """What the last daemon wrote, None when there is nothing. Raises StorageError if unusable.

    The daemon may have died since: ask `mesh.storage.lock.is_locked`.
    """
    path = folder / RUN_FILE
    data = read_private(path, WHAT)
    if data is None:
        return None
    try:
        read = json.loads(data)
        # A newer release may have written more.
        info = RunInfo(**{name: read[name] for name in RunInfo.__slots__ if name in read})
    except (ValueError, TypeError):
        raise StorageError(_unusable(path)) from None
    if not (isinstance(info.pid, int) and all(isinstance(v, str) for v in _texts(info))):
        raise StorageError(_unusable(path))
    return info


def remove_run_file(folder: Path) -> None:
    """Forget it. Never raises: a stale file is recognised by the free lock."""
    with contextlib.suppress(OSError):
        (folder / RUN_FILE).unlink()


def _texts(info: RunInfo) -> tuple[str, ...]:
    return (info.url, info.token, info.node_id, info.mesh, info.version, info.command)


def _unusable(path: Path) -> str:
    return f"{path} is damaged: restart the node, or give --url and --key"
