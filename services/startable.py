"""The models this node holds and could start on demand: the demo model, and GGUF files."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mesh.capability import Resources, Runnable
from mesh.errors import WireError
from services.engines.demo.engine import DEFAULT_SLOTS, MAX_SLOTS, DemoEngine
from services.engines.demo.facts import FOLDER
from services.engines.engine import Engine
from services.engines.llama import CONTEXT, LlamaEngine, model_name
from services.gguf import read_shape

log = logging.getLogger(__name__)

MAX_STARTABLE = 64
"""Models of one node; the first by name."""
MAX_NAMES = 3_000
"""Bytes of all their names: a node's record has to hold them."""
DEMO_MEMORY = 256 * 2**20
"""Bytes of the demo model's process with four jobs, measured with room to spare."""
HOST_MEMORY = 512 * 2**20
"""Bytes of main memory that the server of a model on an accelerator takes beside it."""
BUFFERS = 400 * 2**20
"""Bytes an engine works in, beside weights and context."""
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")

Make = Callable[[int | None], Engine]
"""Makes the engine, on one card where it uses one. Raises ConfigError."""


@dataclass(frozen=True, slots=True)
class Startable:
    """One model, what it takes here, and how it is started."""

    runnable: Runnable
    make: Make


def demo_startable(slots: int | None = None, rate: float | None = None) -> Startable:
    """The model that ships with the package."""

    def make(card: int | None) -> Engine:
        return DemoEngine(slots=min(slots or DEFAULT_SLOTS, MAX_SLOTS), rate=rate)

    return Startable(Runnable("demo", "demo", memory=DEMO_MEMORY + _size([FOLDER])), make)


def find_gguf(folder: Path, resources: Resources) -> tuple[Startable, ...]:
    """The usable GGUF files of a folder, by name; none where the llama engine is not installed.

    Reads the start of every file: call it on a thread.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        return ()
    return gguf_startables(folder, resources)


def gguf_startables(folder: Path, resources: Resources) -> tuple[Startable, ...]:
    """As `find_gguf`, whether or not the engine is installed."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".gguf")
    except OSError as error:
        log.warning("models_dir %s cannot be read: %s", folder, error.strerror)
        return ()
    found: dict[str, Startable] = {}
    for file in files:
        part = _PART.search(file.name)
        if (part is None or part[1] == "00001") and (one := _gguf(file, resources)) is not None:
            found.setdefault(one.runnable.model, one)
    return publishable(found.values())


def publishable(startables: Iterable[Startable]) -> tuple[Startable, ...]:
    """As many as a node's record holds."""
    kept: list[Startable] = []
    names = 0
    for one in startables:
        names += len(one.runnable.model.encode()) + len(one.runnable.engine) + 24
        if len(kept) >= MAX_STARTABLE or names > MAX_NAMES:
            log.warning("more models are held than can be told; the first %d are", len(kept))
            break
        kept.append(one)
    return tuple(kept)


def _gguf(file: Path, resources: Resources) -> Startable | None:
    try:
        context = read_shape(file).context_bytes(CONTEXT)
    except (OSError, WireError) as error:
        log.warning("%s is left out: %s", file.name, error)
        return None
    size = _size(_parts(file)) + context + BUFFERS
    name = model_name(file)
    runnable = Runnable(name, "llama.cpp", memory=size)
    if any(gpu.memory >= size for gpu in resources.gpus):
        runnable = Runnable(name, "llama.cpp", memory=HOST_MEMORY, gpu_memory=size)

    def make(card: int | None) -> Engine:
        return LlamaEngine(file, name=f"llama:{name}", card=card)

    return Startable(runnable, make)


def _parts(file: Path) -> list[Path]:
    """All files of a model that is split into several."""
    match = _PART.search(file.name)
    if match is None:
        return [file]
    start = file.name[: match.start()]
    return sorted(file.parent.glob(f"{_literal(start)}-*-of-{match[2]}.gguf"))


def _literal(text: str) -> str:
    """Text as `glob` finds it."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _size(paths: Iterable[Path]) -> int:
    files = (each for path in paths for each in (path.iterdir() if path.is_dir() else [path]))
    return sum(file.stat().st_size for file in files if file.is_file())
