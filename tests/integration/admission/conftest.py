"""A founded mesh of real daemons that nodes join by tickets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.admission.ticketed_mesh import TicketedMesh
from tests.integration.mesh.daemon import Daemons


@pytest.fixture
async def ticketed(tmp_path: Path) -> AsyncIterator[TicketedMesh]:
    daemons = Daemons(tmp_path / "logs")
    (tmp_path / "logs").mkdir()
    yield TicketedMesh(tmp_path, daemons)
    await daemons.stop()
