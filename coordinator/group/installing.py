"""A word on disk about the snapshot that is being put in the state's place.

The state is replaced first and the log shortened after: with this a crash between the two does not
look as if state and log had come from different times.
"""

from __future__ import annotations

from pathlib import Path

from coordinator.consensus.entry import SnapshotMark
from mesh.errors import StorageError, WireError
from mesh.identity.private_file import read_private, write_private
from mesh.wire import fields
from mesh.wire.consensus import MAX_MEMBERS_DATA, pack_members, unpack_members

INSTALLING_FILE = "installing"
WHAT = "the note about a snapshot"


class Installing:
    """The file `installing` in a member's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / INSTALLING_FILE

    def begin(self, mark: SnapshotMark) -> None:
        """The snapshot with this mark is about to become the state. Raises StorageError."""
        packed = fields.pack([mark.index, mark.term, pack_members(mark.members)])
        write_private(self._path, packed, WHAT)

    def read(self) -> SnapshotMark | None:
        """What `begin` said, if `end` did not follow. Raises StorageError."""
        data = read_private(self._path, WHAT)
        if data is None:
            return None
        try:
            parts = fields.unpack(data, most=2 * MAX_MEMBERS_DATA)
            if len(parts) < 3:
                raise WireError("a field is missing")
            members = unpack_members(fields.raw(parts[2], most=MAX_MEMBERS_DATA))
            return SnapshotMark(fields.whole(parts[0]), fields.whole(parts[1]), members)
        except WireError:
            return None  # then state and log are judged as they are

    def end(self) -> None:
        """The log knows it, too; or it came to nothing. Raises StorageError."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be removed ({error})") from None
