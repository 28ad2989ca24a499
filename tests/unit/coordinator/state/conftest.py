"""Commands as entries, for the tests of the replicated state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coordinator.consensus.entry import Entry
from mesh.wire.commands import Change, Command, encode_command

MakeEntry = Callable[..., Entry]


@pytest.fixture
def entry() -> MakeEntry:
    """The entry with a change; its command's id follows from the index unless it is given."""

    def make(index: int, change: Change, *, id: str = "", at: float = 1e9) -> Entry:
        command = Command(id or f"{index:032x}", at, change)
        return Entry(index, 1, "command", encode_command(command))

    return make
