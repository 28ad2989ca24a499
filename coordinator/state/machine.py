"""Applies entries to one database, in order and once. For one thread at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.consensus.entry import Entry
from coordinator.state.changes import LATER, SINCE, apply_change
from coordinator.state.database import as_storage_error, open_database, read_progress
from coordinator.state.digest import Digest
from coordinator.state.levels import LATEST, LEVELS
from mesh.errors import StorageError, WireError
from mesh.wire.commands import Command, Outcome, RaiseLevel, decode_command, encode_outcome

REMEMBERED = 20_000
"""Entries after which a command's id is forgotten: who repeats it that late does it twice."""
CHECKPOINT_EVERY = 1_000
CHECKPOINTS = 16
"""Digests kept for comparing with other members, and entries between them."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What became different with `index`: first columns of rows, by table."""

    index: int
    rows: dict[str, frozenset[str]] = field(default_factory=dict)
    everything: bool = False
    """A snapshot was installed: read all anew."""


class Machine:
    """The writer's side of one database file. After StorageError it refuses everything."""

    def __init__(self, path: Path) -> None:
        """Opens and checks an existing database. Raises StorageDamaged or StorageError."""
        self.path = path
        self._connection = open_database(path)
        progress = read_progress(self._connection)
        self.applied, self.term, self.level = progress.applied, progress.term, progress.level
        self._digest = Digest()
        self._digest.total = int.from_bytes(progress.digest, "big")
        self._digest.watch(self._connection)
        self._failure: StorageError | None = None

    def apply(self, batch: Sequence[Sequence[Entry]]) -> tuple[list[list[bytes]], Changes]:
        """Apply lists of entries in one transaction: each list's outcomes, and what changed.

        An outcome is an encoded Outcome; b"" for what is no command or was applied before.
        Raises StorageError, also when an entry is missing before one of these.
        """
        if self._failure is not None:
            raise self._failure
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [[self._apply(entry) for entry in entries] for entries in batch]
            self._connection.execute(
                "UPDATE progress SET level = ?, applied = ?, term = ?, digest = ?",
                (self.level, self.applied, self.term, self._digest.packed()),
            )
            self._connection.execute("COMMIT")
        except (sqlite3.Error, StorageError) as error:
            self._failure = as_storage_error(error, self.path)
            raise self._failure from None
        return outcomes, Changes(self.applied, self._digest.take_changed())

    def close(self) -> None:
        """Close the database; what was not committed is rolled back."""
        self._failure = self._failure or StorageError("the state is closed")
        self._connection.close()

    def _apply(self, entry: Entry) -> bytes:
        if entry.index <= self.applied:
            return b""
        if entry.index != self.applied + 1:
            raise StorageError(f"entry {entry.index} cannot be applied after {self.applied}")
        outcome = self._apply_command(entry) if entry.kind == "command" else b""
        self.applied, self.term = entry.index, entry.term
        if entry.index % CHECKPOINT_EVERY == 0:
            self._checkpoint(entry.index)
        return outcome

    def _apply_command(self, entry: Entry) -> bytes:
        try:
            command = decode_command(entry.data)
        except WireError:
            return encode_outcome(Outcome(entry.index, "it is not a command"))
        execute = self._connection.execute
        known = execute("SELECT outcome FROM recent WHERE id = ?", (command.id,)).fetchone()
        if known is not None:
            earlier: bytes = known[0]
            return earlier
        outcome = encode_outcome(Outcome(entry.index, self._change(command)))
        execute("INSERT INTO recent VALUES (?, ?, ?)", (command.id, entry.index, outcome))
        execute("DELETE FROM recent WHERE place <= ?", (entry.index - REMEMBERED,))
        return outcome

    def _change(self, command: Command) -> str:
        if isinstance(command.change, RaiseLevel):
            return self._raise_level(command.change.level)
        if SINCE.get(type(command.change), 1) > self.level:
            return LATER
        return apply_change(self._connection, command)

    def _raise_level(self, level: int) -> str:
        if level != self.level + 1:
            return f"level {level} does not follow {self.level}"
        if level > LATEST:
            raise StorageError(
                f"the group uses level {level} from here on, this version knows {LATEST}: "
                "update this node"
            )
        for statement in LEVELS[level - 1]:
            self._connection.execute(statement)
        self.level = level
        self._digest.watch(self._connection)
        return ""

    def _checkpoint(self, index: int) -> None:
        """Not part of the digest, so that those of an installed snapshot do not matter."""
        digest = self._digest.packed()
        self._connection.execute(
            "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (index, digest)
        )
        oldest = index - CHECKPOINTS * CHECKPOINT_EVERY
        self._connection.execute("DELETE FROM checkpoints WHERE place <= ?", (oldest,))
