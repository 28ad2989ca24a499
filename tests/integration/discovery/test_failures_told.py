"""Why a place that the owner gave does not answer is told once, not at every try."""

from __future__ import annotations

import logging

import pytest

from dht.join_address import JoinAddress
from tests.integration.discovery.conftest import RealMesh, until


async def test_the_owner_hears_once_why_a_given_node_does_not_answer(
    mesh: RealMesh, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "dht.bootstrap")
    node = await mesh.start("node")
    node.look_for_peers(JoinAddress("tcp://127.0.0.1:1"))

    def told(level: int) -> list[logging.LogRecord]:
        found = [each for each in caplog.records if "nobody at tcp://127.0.0.1:1" in each.message]
        return [each for each in found if each.levelno == level]

    await until(lambda: len(told(logging.DEBUG)) >= 1)
    assert len(told(logging.WARNING)) == 1
