"""Every engine that declares the feature "resume", ready to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import pytest

from mesh.capability import ModelRef
from mesh.jobs import Chunk, Finish, JobSpec
from services.engines.demo.engine import DemoEngine
from services.engines.engine import Engine
from services.engines.ollama import OllamaEngine
from services.engines.openai import OpenAIEngine
from tests.fakes.knobs import Knobs
from tests.fakes.ollama_server import FakeOllama
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.serving import FakeServer

STORY = (
    "Once upon a time,\n\n  in a far-away land, an owl said: “Ha! Ha! Ha! 🦉🦉” \n"
    "Then it said no more, no more, no more.  \n\n"
)
"""Spaces at the ends of tokens and lines, repetition, characters of several bytes."""

SERVERS = ("vllm", "llama.cpp", "ollama")
SPOILING = ("echoes", "strips")
"""Knobs of servers that break what is documented of them."""


@dataclass
class Answered:
    """What one run gave."""

    chunks: list[Chunk]
    finish: Finish

    def text(self, index: int = 0) -> str:
        return "".join(chunk.text for chunk in self.chunks if chunk.index == index)


@dataclass
class Served:
    """An engine, its model, and the fake server behind it where there is one."""

    engine: Engine
    model: ModelRef
    fake: FakeServer | None = None

    async def run(self, job: JobSpec) -> Answered:
        chunks: list[Chunk] = []
        async for event in self.engine.run(job, self.model):
            if isinstance(event, Finish):
                return Answered(chunks, event)
            chunks.append(event)
        raise AssertionError("the answer had no end")


def make_knobs() -> Knobs:
    return Knobs(text=STORY, by_tokens=True)


@asynccontextmanager
async def serve(kind: str) -> AsyncIterator[Served]:
    fake: FakeServer | None = None
    engine: Engine
    if kind == "demo":
        engine = DemoEngine()
    elif kind == "ollama":
        fake = FakeOllama(knobs=make_knobs())
        engine = OllamaEngine(await fake.start())
    else:
        dialect: Literal["vllm", "llama.cpp"] = "vllm" if kind == "vllm" else "llama.cpp"
        fake = FakeOpenAI(dialect, knobs=make_knobs())
        engine = OpenAIEngine(await fake.start(), kind=dialect)
    yield Served(engine, (await engine.probe()).models[0], fake)
    await engine.close()
    if fake is not None:
        await fake.stop()


@pytest.fixture(params=["demo", *SERVERS])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with serve(request.param) as one:
        yield one


@pytest.fixture(params=SERVERS)
async def behind_a_server(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with serve(request.param) as one:
        yield one
