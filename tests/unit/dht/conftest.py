"""Keys and records that many of these tests use."""

from __future__ import annotations

import pytest

from mesh.identity.keys import NodeKey


@pytest.fixture(scope="session")
def key() -> NodeKey:
    return NodeKey.generate()


@pytest.fixture(scope="session")
def other_key() -> NodeKey:
    return NodeKey.generate()
