"""A tiny model with random weights for the mechanics, and the shipped one for the rest."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from services.engines.demo.process import ONE_THREAD

# Before NumPy is loaded, as in the engine's own process: BLAS reads it only once.
os.environ.update(ONE_THREAD)

import numpy as np
import pytest
from safetensors.numpy import save_file

from services.engines.demo.engine import DemoEngine
from services.engines.demo.facts import FOLDER
from services.engines.demo.model import Llama
from services.engines.demo.shape import Shape
from services.engines.demo.tokenizer import FIRST_BYTE, FIRST_MERGE, Tokenizer

TINY = Shape(
    vocabulary=FIRST_MERGE + 2, context=160, width=32, layers=2, heads=4, kv_heads=2, hidden=48
)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a model that writes noise, quickly."""
    folder = tmp_path_factory.mktemp("tiny-model")
    rng = np.random.default_rng(7)
    weights = {
        name: (rng.standard_normal(size) if len(size) == 2 else np.ones(size)).astype(np.float16)
        for name, size in TINY.tensors()
    }
    save_file(weights, folder / "model.safetensors", metadata=TINY.to_metadata())
    letter = FIRST_BYTE + ord("a")
    Tokenizer([(letter, letter + 1), (FIRST_MERGE, letter + 2)]).save(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Llama:
    return Llama(tiny_folder / "model.safetensors")


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_folder: Path) -> Tokenizer:
    return Tokenizer.load(tiny_folder / "tokenizer.json")


@pytest.fixture(scope="session")
def model() -> Llama:
    return Llama(FOLDER / "model.safetensors")


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(FOLDER / "tokenizer.json")


@pytest.fixture
async def engine() -> AsyncIterator[DemoEngine]:
    """The engine with the shipped weights."""
    engine = DemoEngine(slots=2)
    yield engine
    await engine.close()


@pytest.fixture
async def tiny_engine(tiny_folder: Path) -> AsyncIterator[DemoEngine]:
    """The engine with the random weights; it never ends an answer by itself for long."""
    engine = DemoEngine(slots=2, folder=tiny_folder)
    yield engine
    await engine.close()


@pytest.fixture(autouse=True)
def _no_numpy_warnings() -> Iterator[None]:
    """Overflow or NaN in the arithmetic is a failure."""
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        yield
