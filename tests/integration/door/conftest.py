"""Daemons that keep doors and daemons behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.door.doorway_mesh import DoorMesh
from tests.integration.mesh.daemon import Daemons


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[DoorMesh]:
    daemons = Daemons(tmp_path)
    yield DoorMesh(daemons)
    await daemons.stop()
