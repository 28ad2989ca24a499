"""The files of a model, as far as the daemon needs to know them without NumPy."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

from mesh.capability import ModelRef
from mesh.errors import EngineUnavailable
from services.engines.demo.shape import Shape

FOLDER = Path(__file__).parent / "weights"
"""The weights that ship with the package."""

MAX_HEADER = 1024 * 1024
"""Bytes of a safetensors header; ours has three thousand."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a weights file says of itself."""

    shape: Shape
    parameters: int
    digest: str
    """SHA-256 of the file."""


def read_facts(folder: Path) -> Facts:
    """Read header and digest of a folder's weights. Raises EngineUnavailable; blocks for 10 ms."""
    path = folder / "model.safetensors"
    try:
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + min(size, MAX_HEADER)])
        shape = Shape.from_metadata(header["__metadata__"])
        (folder / "tokenizer.json").stat()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineUnavailable(f"the demo model's files are not usable: {error}") from error
    parameters = sum(math.prod(size) for _, size in shape.tensors())
    return Facts(shape, parameters, hashlib.sha256(data).hexdigest())


def describe(facts: Facts) -> ModelRef:
    """The model as the mesh knows it."""
    return ModelRef(
        name="demo",
        engine="demo",
        digest=facts.digest,
        quantisation="f16",
        context=facts.shape.context,
        features=("logprobs", "resume"),
        description=f"demo model of {facts.parameters / 1e6:.1f} million parameters, "
        "trained on invented stories; it knows nothing",
    )
