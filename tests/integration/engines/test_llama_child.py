"""The llama engine's child server: started, watched, and gone when we are gone.

A stand-in serves instead of llama-cpp-python, which takes a quarter of an hour to build; the real
one is run by test_llama_real.py.
"""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from mesh.errors import ConfigError, EngineError, EngineUnavailable
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from services.engines.engine import EngineStatus
from services.engines.llama import LlamaEngine, server_command
from services.engines.openai import OpenAIEngine

Until = Callable[..., Awaitable[None]]

STAND_IN = (
    *(sys.executable, "-m", "tests.fakes.openai_server", "--kind", "plain"),
    *("--port", "{port}", "--model", "tiny", "--api-key-env", "API_KEY"),
)
JOB = JobSpec("chat", "tiny", ({"role": "user", "content": "hi"},), sampling=Sampling(n=2))


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    file = tmp_path / "Tiny-1B-Q8_0.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    return file


async def ready(engine: LlamaEngine) -> EngineStatus:
    async with asyncio.timeout(10.0):
        while True:
            try:
                return await engine.probe()
            except EngineUnavailable as error:
                assert "loading" in str(error)
                await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_child_serves_one_job_at_a_time_behind_a_key(gguf: Path) -> None:
    engine = LlamaEngine(gguf, command=STAND_IN)
    status = await ready(engine)
    (model,) = status.models
    assert (model.engine, model.quantisation, status.slots) == ("llama.cpp", "Q8_0", 1)
    async with aclosing(engine.run(JOB, model)) as events:
        got = [event async for event in events]
    assert {one.index for one in got if isinstance(one, Chunk)} == {0, 1}
    assert isinstance(got[-1], Finish)
    (connection,) = [
        one
        for one in psutil.Process(engine.pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    stranger = OpenAIEngine(f"http://127.0.0.1:{connection.laddr.port}")
    with pytest.raises(EngineError, match="API key"):
        await stranger.probe()
    await stranger.close()
    await engine.close()
    await engine.close()


async def test_a_child_that_dies_is_started_again(gguf: Path, until: Until) -> None:
    engine = LlamaEngine(gguf, command=STAND_IN, restart_seconds=0.0)
    await ready(engine)
    first = engine.pid
    assert first is not None
    psutil.Process(first).kill()
    await until(lambda: engine.pid is None)
    await ready(engine)
    assert engine.pid not in (None, first)
    await engine.close()


async def test_a_child_that_cannot_start_says_its_last_words(gguf: Path) -> None:
    broken = (sys.executable, "-c", "import sys; sys.exit('no such tensor')")
    engine = LlamaEngine(gguf, command=broken)
    async with asyncio.timeout(10.0):
        while True:
            with pytest.raises(EngineUnavailable) as caught:
                await engine.probe()
            if "its server ended: no such tensor" in str(caught.value):
                break
            await asyncio.sleep(0.02)
    await engine.close()


async def test_closing_ends_a_child_that_ignores_sigterm(gguf: Path, until: Until) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)"
    engine = LlamaEngine(gguf, command=(sys.executable, "-c", f"{deaf}; time.sleep(60)"))
    with pytest.raises(EngineUnavailable):
        await engine.probe()
    pid = engine.pid
    assert pid is not None
    await until(lambda: engine.last_words == "deaf")
    await engine.close()
    await until(lambda: not is_running(pid))


PARENT = """
import asyncio, sys
from pathlib import Path
from services.engines.llama import LlamaEngine

async def main():
    engine = LlamaEngine(Path(sys.argv[1]), command=sys.argv[2:])
    try:
        await engine.probe()
    except Exception:
        print(engine.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_the_child_dies_with_the_daemon(gguf: Path, until: Until, how: int) -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(60)")
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(gguf), *sleeper), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert is_running(child)
    parent.send_signal(how)
    await parent.wait()
    await until(lambda: not is_running(child), seconds=2.0)


def test_what_cannot_be_served_is_refused_at_once(tmp_path: Path, gguf: Path) -> None:
    text = tmp_path / "model.gguf"
    text.write_text("hello")
    for wrong in (text, tmp_path / "missing.gguf", tmp_path):
        with pytest.raises(ConfigError, match="GGUF"):
            LlamaEngine(wrong, command=STAND_IN)
    with pytest.raises(ConfigError, match="--model"):
        LlamaEngine(None)


def test_a_missing_extra_is_named(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'distributed-electrons\[llama\]'"):
        LlamaEngine(gguf)


def test_the_key_is_not_among_the_arguments(gguf: Path) -> None:
    command = " ".join(server_command(gguf, "tiny"))
    assert "api_key" not in command
    assert "--interrupt_requests false" in command
