"""The adapter against a real engine: llama-cpp-python's server with a real model file.

pip install 'distributed-electrons[llama]'
LLAMA_TEST_MODEL=/path/to/small.gguf python -m pytest -m slow tests/integration/engines
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from mesh.errors import EngineUnavailable
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from services.engines.llama import LlamaEngine

MODEL_FILE = os.environ.get("LLAMA_TEST_MODEL", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("llama_cpp") is None or not MODEL_FILE,
        reason="needs llama-cpp-python and a model file in LLAMA_TEST_MODEL",
    ),
]


@pytest.fixture
async def engine() -> AsyncIterator[LlamaEngine]:
    engine = LlamaEngine(Path(MODEL_FILE))
    async with asyncio.timeout(120.0):
        while True:
            try:
                await engine.probe()
                break
            except EngineUnavailable:
                await asyncio.sleep(0.05)
    yield engine
    await engine.close()


@pytest.mark.parametrize("kind", ["chat", "completion"])
async def test_a_real_engine_generates(engine: LlamaEngine, kind: str) -> None:
    (model,) = (await engine.probe()).models
    sampling = Sampling(max_tokens=8, temperature=0.0, seed=1)
    chat = JobSpec("chat", model.name, ({"role": "user", "content": "Hi"},), sampling=sampling)
    plain = JobSpec("completion", model.name, prompt="Once upon a", sampling=sampling)
    job = chat if kind == "chat" else plain
    async with aclosing(engine.run(job, model)) as events:
        got = [event async for event in events]
    assert "".join(one.text for one in got if isinstance(one, Chunk))
    assert isinstance(got[-1], Finish)
    assert got[-1].reasons[0] in ("stop", "length")


async def test_a_cancelled_job_frees_the_engine(engine: LlamaEngine) -> None:
    (model,) = (await engine.probe()).models
    endless = JobSpec("completion", model.name, prompt="1 2 3", sampling=Sampling(max_tokens=2000))
    events = engine.run(endless, model)
    await anext(events)
    await events.aclose()
    short = JobSpec("completion", model.name, prompt="1 2 3", sampling=Sampling(max_tokens=1))
    async with asyncio.timeout(5.0), aclosing(engine.run(short, model)) as rest:
        assert isinstance([event async for event in rest][-1], Finish)
