"""When an engine that does not answer makes its node a lesser one, and when it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import pytest

from mesh.lifecycle import Tasks
from services.catalog import MISSED_SECONDS, Catalog
from tests.unit.services.scripted_engine import HandClock, ScriptedEngine


class Missing:
    """Two engines, of which one has never answered."""

    def __init__(self) -> None:
        self.tasks = Tasks("test")
        self.clock = HandClock()
        self.one, self.never = ScriptedEngine("one", "a"), ScriptedEngine("never", "b")
        self.never.down()
        self.catalog = Catalog(
            engines=(self.one, self.never),
            aliases={},
            clock=self.clock,
            tasks=self.tasks,
            rng=Random(1),
        )


@pytest.fixture
async def missing() -> AsyncIterator[Missing]:
    made = Missing()
    await made.catalog.start()
    yield made
    await made.catalog.close()
    await made.tasks.close()


async def test_one_that_never_answered_is_not_missed_while_another_works(
    missing: Missing,
) -> None:
    missing.clock.time += 3600
    assert missing.catalog.ailing() == ()
    assert missing.catalog.notes() == ("never: nobody there",)
    assert missing.catalog.looked


async def test_one_that_served_before_is_missed_after_a_while(missing: Missing) -> None:
    second = ScriptedEngine("second", "c")
    assert missing.catalog.add(second)
    await missing.catalog._watches[-1].settled.wait()
    second.down()
    missing.catalog.withdraw(second, "it was killed")
    missing.clock.time += MISSED_SECONDS
    assert missing.catalog.ailing() == ()
    missing.clock.time += 0.1
    assert missing.catalog.ailing() == ("second",)
    missing.catalog.withhold(second)
    assert missing.catalog.ailing() == ()


async def test_a_node_that_serves_nothing_misses_all_of_them(missing: Missing) -> None:
    missing.one.down()
    missing.catalog.withdraw(missing.one, "it was killed")
    assert set(missing.catalog.ailing()) == {"one", "never"}
