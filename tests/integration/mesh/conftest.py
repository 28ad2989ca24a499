"""Daemons and fake engines for the mesh stories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.openai_server import FakeOpenAI
from tests.integration.mesh.daemon import Daemons


@pytest.fixture
async def daemons(tmp_path: Path) -> AsyncIterator[Daemons]:
    running = Daemons(tmp_path)
    yield running
    await running.stop()


@pytest.fixture
async def engine() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(kind="llama.cpp", model="fake-7b", slots=2) as fake:
        yield fake


@pytest.fixture
async def second_engine() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(kind="llama.cpp", model="fake-7b", slots=2) as fake:
        yield fake
