"""`electrons update`: another release takes over with no request failed, or the old one stays."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chaos.next_release import VERSION as NEXT
from chaos.next_release import make_release
from mesh.storage.lock import is_locked
from mesh.storage.run_file import RunInfo, read_run_file
from mesh.version import VERSION
from node.cli.stop import find_process

ELECTRONS = Path(sys.executable).with_name("electrons")
STORY = [{"role": "user", "content": "Tell me a story."}]
BODY = {"model": "demo", "messages": STORY, "max_tokens": 32}
"""Half a second at the rate below, so that some are always under way; few enough that a machine
that is busy with other things is not overloaded by them."""


@contextlib.asynccontextmanager
async def daemon(folder: Path, *arguments: str) -> AsyncIterator[RunInfo]:
    """A node whose process may become another release, or be replaced by another process."""
    words = ["up", "--json", "--no-mdns", "--http", "127.0.0.1:0", "--mesh", "127.0.0.1:0"]
    log = folder.with_suffix(".log").open("wb")
    process = await asyncio.create_subprocess_exec(
        ELECTRONS, *words, "--data-dir", str(folder), *arguments, stdout=PIPE, stderr=log
    )
    assert process.stdout is not None
    try:
        await asyncio.wait_for(process.stdout.readline(), 20)
        info = read_run_file(folder)
        assert info is not None
        yield info
    finally:
        if is_locked(folder):
            done = await command("stop", "--data-dir", str(folder))
            assert done[0] == 0, done
        await asyncio.wait_for(process.communicate(), 10)
        log.close()


async def command(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(ELECTRONS, *words, stdout=PIPE, stderr=PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 55)
    return process.returncode or 0, out.decode(), err.decode()


async def ask(url: str, results: list[Any]) -> None:
    timeout = aiohttp.ClientTimeout(total=50)
    headers = {"Connection": "close"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        try:
            async with session.post(f"{url}/v1/chat/completions", json=BODY) as answer:
                body = await answer.json()
                results.append((answer.status, body.get("object")))
        except aiohttp.ClientError as error:
            results.append(repr(error))


async def keep_asking(url: str, results: list[Any], until: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        while not until.is_set():
            group.create_task(ask(url, results))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), 0.2)


async def test_a_release_takes_over_without_a_failed_request(tmp_path: Path) -> None:
    program = make_release(tmp_path / "next")
    folder = tmp_path / "node"
    async with daemon(folder, "--engine", "demo", "--demo-rate", "64") as info:
        results: list[Any] = []
        until = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_asking(info.url, results, until))
            code, out, err = await command(
                "update", "--data-dir", str(folder), "--executable", str(program), "--json"
            )
            until.set()
        assert code == 0, err
        assert json.loads(out) == {"from": VERSION, "to": NEXT, "pid": info.pid}
        assert results and set(results) == {(200, "chat.completion")}
        after = read_run_file(folder)
        assert after is not None
        assert (after.url, after.pid, after.version) == (info.url, info.pid, NEXT)


@pytest.mark.parametrize("broken", ["raise RuntimeError('broken')", "import time; time.sleep(60)"])
async def test_a_broken_release_is_rolled_back(broken: str, tmp_path: Path) -> None:
    program = make_release(tmp_path / "next", broken=broken)
    folder = tmp_path / "node"
    async with daemon(folder, "--engine", "demo") as info:
        words = ("--executable", str(program), "--health-timeout", "4")
        code, _, err = await command("update", "--data-dir", str(folder), *words)
        assert code == 1
        assert f"{VERSION} runs again" in err
        after = read_run_file(folder)
        assert after is not None and after.version == VERSION
        assert find_process(folder) == after.pid
        results: list[Any] = []
        await ask(after.url, results)
        assert results == [(200, "chat.completion")]
        assert info.node_id == after.node_id


async def test_what_is_no_release_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    async with daemon(folder, "--engine", "none") as info:
        words = ("--executable", "/bin/true")
        code, _, err = await command("update", "--data-dir", str(folder), *words)
        assert code == 1 and "does not work as a release" in err
        after = read_run_file(folder)
        assert after == info
