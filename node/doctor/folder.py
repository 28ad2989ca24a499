"""The data folder: there, ours, writable, private, with room, held by at most one node."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient

AREA = "data folder"
DISK = "disk"
MIB, GIB = 2**20, 2**30
LEAST_FREE = 64 * MIB
"""Below this the log of a coordinator, or a downloaded update, soon cannot be written."""
LOW_FREE = GIB
SHARED = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p"})
"""File systems on which a lock of one machine may mean nothing on another."""


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What was seen of the folder. `error` holds the system's words for what failed."""

    exists: bool
    is_folder: bool = True
    owned: bool = True
    private: bool = True
    write_error: str = ""
    file_system: str = ""


async def examine_folder(patient: Patient) -> Sequence[Finding]:
    """See `judge_folder` and `judge_holder`."""
    facts = await aside(lambda: look_at(patient.data_dir, patient.instruments.root))
    return (*judge_folder(patient.data_dir, facts), *judge_holder(patient))


async def examine_disk(patient: Patient) -> Sequence[Finding]:
    """See `judge_room`."""
    place = nearest(patient.data_dir)
    try:
        room = await aside(lambda: patient.instruments.room(place))
    except OSError as error:
        cure = "choose another folder with --data-dir"
        return [problem(DISK, f"The disk of {patient.data_dir} cannot be read", cure, error)]
    return [judge_room(patient.data_dir, room.total, room.free)]


def nearest(path: Path) -> Path:
    """The path, or the closest folder above it that exists."""
    return next((place for place in (path, *path.parents) if place.exists()), path)


def look_at(path: Path, root: Path) -> FolderFacts:
    """Look, and try to write where the folder is or would be made."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return FolderFacts(False, write_error=_try_writing(nearest(path)))
    except OSError as error:
        return FolderFacts(True, write_error=error.strerror or str(error))
    if not stat.S_ISDIR(status.st_mode):
        return FolderFacts(True, is_folder=False)
    owner = os.getuid() if hasattr(os, "getuid") else status.st_uid
    return FolderFacts(
        True,
        owned=status.st_uid == owner,
        private=os.name != "posix" or not status.st_mode & 0o077,
        write_error=_try_writing(path),
        file_system=_file_system(path, root),
    )


def judge_folder(path: Path, facts: FolderFacts) -> tuple[Finding, ...]:
    """Whether a node can keep its identity there."""
    if not facts.is_folder:
        return (problem(AREA, f"{path} is not a folder", "choose another with --data-dir"),)
    if facts.write_error:
        what = f"Nothing can be written into {path}"
        cure = "give the folder to the user that runs the node (chown), or choose another with "
        return (problem(AREA, what, cure + "--data-dir", facts.write_error),)
    if not facts.exists:
        return (ok(AREA, f"{path} is not there yet and will be made at the first start"),)
    if not facts.owned:
        cure = f"run the node as that user, or 'chown -R' the folder {path} to yours"
        return (problem(AREA, f"{path} belongs to another user", cure),)
    found: list[Finding] = []
    if not facts.private:
        cure = f"run 'chmod 700 {path}'"
        found.append(warning(AREA, f"Other users of this machine may look into {path}", cure))
    if facts.file_system in SHARED:
        what = f"{path} is on a network file system ({facts.file_system})"
        found.append(warning(AREA, what, "put it on a local disk: locks and fsync may be lies"))
    return tuple(found) or (ok(AREA, f"{path} is writable and private"),)


def judge_holder(patient: Patient) -> tuple[Finding, ...]:
    """Whether the folder is held by one healthy node, and by which."""
    if patient.held is None:
        cure = "mend its owner and mode, and put it on a local disk"
        return (problem(AREA, "The folder's lock cannot be looked at", cure),)
    if not patient.held:
        return ()
    if patient.running:
        return ()
    if patient.run_info is None and patient.answer_error:
        what = "A node holds the folder, and what it left for other programs cannot be read"
        cure = "run the doctor as the user that runs the node; else restart the node"
        return (problem(AREA, what, cure, patient.answer_error),)
    if patient.run_info is None:
        what = f"Another process holds {patient.data_dir}, and it is no node that can be asked"
        cure = "wait if a node is just starting; else stop that process, or use another --data-dir"
        return (problem(AREA, what, cure),)
    what = f"The node with process id {patient.run_info.pid} holds the folder and does not answer"
    cure = f"stop it with 'electrons stop', or by force with 'kill {patient.run_info.pid}'"
    return (problem(AREA, what, cure, patient.answer_error),)


def judge_room(path: Path, total: int, free: int) -> Finding:
    """Whether the disk has room for what a node writes."""
    text = f"The disk of {path} has {_size(free)} of {_size(total)} free"
    if free < LEAST_FREE:
        return problem(DISK, text, f"free at least {_size(LEAST_FREE)}, or move the folder")
    if free < LOW_FREE:
        return warning(DISK, text, f"free {_size(LOW_FREE)}: models and updates need room")
    return ok(DISK, text)


def _try_writing(folder: Path) -> str:
    """Why a file cannot be written there; "" when it can. Nothing is left behind."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"electrons")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _file_system(path: Path, root: Path) -> str:
    """The type of the mount that holds the path; "" where nothing tells."""
    try:
        lines = (root / "proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    held: tuple[int, str] = (-1, "")
    for line in lines:
        fields = line.split()
        if len(fields) > 2 and path.resolve().is_relative_to(fields[1]):
            held = max(held, (len(fields[1]), fields[2]))
    return held[1]


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def no_folder(reason: str) -> Finding:
    """There is not even a path."""
    return skipped(AREA, f"No data folder is known: {reason}", "give one with --data-dir")
