"""The engine with its real child process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from mesh.capability import ModelRef
from mesh.errors import (
    ConfigError,
    ContextTooLong,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
    NotSupported,
)
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from services.engines.demo.engine import DemoEngine
from services.engines.demo.protocol import STREAM_WINDOW
from services.engines.demo.tokenizer import EOS

MODEL = ModelRef("demo", "demo")
ROOT = Path(__file__).parents[4]
DEADLINE = 20.0


def ask(text: str, *, stream: bool = True, extra: Any = None, **sampling: Any) -> JobSpec:
    message = {"role": "user", "content": text}
    return JobSpec(
        "chat", "demo", (message,), sampling=Sampling(**sampling), stream=stream, extra=extra or {}
    )


ENDLESS = ask("x", temperature=1, seed=1, extra={"logit_bias": {str(EOS): -1000}})
"""Writes until the context is full."""


async def collect(engine: DemoEngine, job: JobSpec) -> tuple[str, Finish]:
    chunks: list[Chunk] = []
    finish = None
    async for event in engine.run(job, MODEL):
        assert finish is None
        if isinstance(event, Finish):
            finish = event
        else:
            chunks.append(event)
    assert finish is not None
    return "".join(chunk.text for chunk in chunks), finish


async def wait_until_asleep(pid: int) -> None:
    """Wait until a process waits for input and uses no CPU."""
    process = psutil.Process(pid)
    async with asyncio.timeout(DEADLINE):
        while True:
            before = process.cpu_times()
            await asyncio.sleep(0.05)
            if process.status() == "sleeping" and process.cpu_times() == before:
                return


async def wait_until_gone(pid: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie":
            await asyncio.sleep(0.01)


async def test_the_probe_says_honestly_what_it_is(engine: DemoEngine) -> None:
    status = await engine.probe()
    (model,) = status.models
    assert (model.name, model.engine, model.context) == ("demo", "demo", 512)
    assert len(model.digest) == 64
    assert model.features == ("logprobs", "resume")
    assert "it knows nothing" in model.description
    assert engine.pid is None, "a probe costs no process"


async def test_a_chat_is_streamed_token_by_token(engine: DemoEngine) -> None:
    events = [event async for event in engine.run(ask("Say this is a test", temperature=0), MODEL)]
    chunks = [event for event in events if isinstance(event, Chunk)]
    assert "".join(chunk.text for chunk in chunks) == "This is a test."
    assert all(len(chunk.token_ids or ()) == 1 for chunk in chunks)
    assert isinstance(events[-1], Finish)
    assert events[-1].reasons == ("stop",)


async def test_temperature_zero_is_the_same_in_another_process(engine: DemoEngine) -> None:
    job = ask("Tell me a story about a fox.", temperature=0)
    first = await collect(engine, job)
    other = DemoEngine()
    try:
        assert await collect(other, job) == first
    finally:
        await other.close()


async def test_jobs_run_side_by_side(engine: DemoEngine) -> None:
    slow, quick = engine.run(ENDLESS, MODEL), engine.run(ask("ping", temperature=0), MODEL)
    async with aclosing(slow), aclosing(quick):
        await anext(slow)
        assert "".join([e.text async for e in quick if isinstance(e, Chunk)]) == "pong"
        status = await engine.probe()
        assert (status.running, status.waiting) == (1, 0)


async def test_an_unread_answer_stops_the_computing(tiny_engine: DemoEngine) -> None:
    async with aclosing(tiny_engine.run(ENDLESS, MODEL)) as events:
        await anext(events)
        assert tiny_engine.pid is not None
        await wait_until_asleep(tiny_engine.pid)
        count = 1
        async for event in events:
            count += isinstance(event, Chunk)
        assert count > 3 * STREAM_WINDOW, "it went on when it was read again"


async def test_a_closed_answer_stops_the_computing_and_frees_the_slot(
    tiny_folder: Path,
) -> None:
    engine = DemoEngine(slots=1, folder=tiny_folder)
    try:
        for _ in range(3):
            events = engine.run(ENDLESS, MODEL)
            await anext(events)
            await events.aclose()
        assert (await engine.probe()).running == 0
        assert engine.pid is not None
        await wait_until_asleep(engine.pid)
        assert (await collect(engine, ask("x", temperature=0, max_tokens=3)))[1].reasons
    finally:
        await engine.close()


async def test_a_cancelled_reader_frees_the_slot(tiny_folder: Path) -> None:
    engine = DemoEngine(slots=1, rate=2, folder=tiny_folder)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await collect(engine, ENDLESS)
        status = await engine.probe()
        assert (status.running, status.waiting) == (0, 0)
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (ask("word " * 600), ContextTooLong),
        (ask("hi", extra={"echo": True}), NotSupported),
        (ask("hi", temperature=-1), InvalidRequest),
        (JobSpec("chat", "demo"), InvalidRequest),
        (JobSpec("completion", "demo", prompt=(5000,)), InvalidRequest),
    ],
)
async def test_refusals_keep_their_kind_and_the_engine_goes_on(
    engine: DemoEngine, job: JobSpec, error: type[InvalidRequest]
) -> None:
    with pytest.raises(error) as caught:
        await collect(engine, job)
    assert type(caught.value) is error
    assert (await collect(engine, ask("ping", temperature=0)))[0] == "pong"


async def test_a_killed_process_fails_its_jobs_and_is_replaced(engine: DemoEngine) -> None:
    events = engine.run(ENDLESS, MODEL)
    await anext(events)
    first = engine.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with pytest.raises(EngineError):
        async for _ in events:
            pass
    assert (await collect(engine, ask("ping", temperature=0)))[0] == "pong"
    assert engine.pid not in (None, first)


async def test_an_idle_process_is_ended_and_started_again(tiny_folder: Path) -> None:
    engine = DemoEngine(folder=tiny_folder, idle_seconds=0.0)
    try:
        events = engine.run(ask("x", max_tokens=2), MODEL)
        await anext(events)
        pid = engine.pid
        assert pid is not None
        await events.aclose()
        await wait_until_gone(pid)
        assert engine.pid is None
        await collect(engine, ask("x", max_tokens=2))
    finally:
        await engine.close()


async def test_a_closed_engine_fails_its_jobs_and_starts_no_more(tiny_folder: Path) -> None:
    engine = DemoEngine(folder=tiny_folder)
    events = engine.run(ENDLESS, MODEL)
    await anext(events)
    pid = engine.pid
    assert pid is not None
    await engine.close()
    await engine.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(EngineError):
        async for _ in events:
            pass
    with pytest.raises(EngineUnavailable, match="closed"):
        await collect(engine, ask("x"))


async def test_broken_files_make_the_engine_unavailable(tmp_path: Path) -> None:
    engine = DemoEngine(folder=tmp_path)
    with pytest.raises(EngineUnavailable, match="not usable"):
        await engine.probe()
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(EngineUnavailable, match="not usable"):
        await engine.probe()


async def test_a_process_that_cannot_load_fails_the_job(tmp_path: Path) -> None:
    engine = DemoEngine(folder=tmp_path)
    try:
        with pytest.raises(EngineError):
            await collect(engine, ask("x"))
    finally:
        await engine.close()


@pytest.mark.parametrize("setting", [{"slots": 0}, {"rate": 0.0}, {"rate": -1.0}])
def test_settings_out_of_range_are_named(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DemoEngine(**setting)


def test_the_daemon_does_not_load_numpy() -> None:
    code = "import sys, services.engines.demo.engine; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


async def test_the_process_ends_with_the_daemon(tiny_folder: Path) -> None:
    """A daemon that is killed cannot tidy up; the closed pipe ends its child."""
    code = f"""
import asyncio, os, signal
from pathlib import Path
from mesh.capability import ModelRef
from mesh.jobs import JobSpec
from services.engines.demo.engine import DemoEngine
async def main():
    engine = DemoEngine(folder=Path({str(tiny_folder)!r}))
    events = engine.run(JobSpec("completion", "demo", prompt="x"), ModelRef("demo", "demo"))
    await anext(events)
    print(engine.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await daemon.communicate()
    assert daemon.returncode == -signal.SIGKILL
    await wait_until_gone(int(output))
