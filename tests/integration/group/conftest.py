"""A founded mesh of real daemons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.group.founded_mesh import FoundedMesh
from tests.integration.mesh.daemon import Daemons


@pytest.fixture
async def founded(tmp_path: Path) -> AsyncIterator[FoundedMesh]:
    daemons = Daemons(tmp_path / "logs")
    (tmp_path / "logs").mkdir()
    mesh = FoundedMesh(tmp_path, daemons)
    yield mesh
    await daemons.stop()
