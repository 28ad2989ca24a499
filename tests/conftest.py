"""Rules for every test: no silent skip, nothing left behind, no settings from outside."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.leaks import child_ids, leaked_children, leaked_tasks, leaked_threads
from tests.skips import ALLOWED_FILE, SkipGuard, parse_allowed

pytest_plugins = ("pytester",)


def pytest_configure(config: pytest.Config) -> None:
    """Guard against skips, and forget the settings of whoever runs the tests."""
    allowed = parse_allowed(ALLOWED_FILE.read_text())
    config.pluginmanager.register(SkipGuard(allowed), "skip-guard")
    for name in [name for name in os.environ if name.startswith("ELECTRONS_")]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Fail a test that leaves a thread or a child process."""
    threads, children = set(threading.enumerate()), child_ids()
    yield
    left = leaked_threads(threads) + leaked_children(children)
    if left:
        pytest.fail("left running: " + "; ".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def no_task_is_left(request: pytest.FixtureRequest, nothing_is_left_running: None) -> None:
    """Fail an asynchronous test that leaves a task, once its other fixtures are gone."""
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("watch_tasks")


@pytest_asyncio.fixture
async def watch_tasks() -> AsyncIterator[None]:
    """Compares the loop's tasks before and after the test."""
    before = asyncio.all_tasks()
    yield
    left = await leaked_tasks(before)
    if left:
        pytest.fail("left running: " + "; ".join(left), pytrace=False)
