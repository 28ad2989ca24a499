"""Mutates seeds and what was interesting before, and watches exceptions, time and memory."""

from __future__ import annotations

import gc
import hashlib
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.mutate import mutate
from tests.fuzz.targets import Target

CORPUS = Path(__file__).parent / "corpus"
MAX_CORPUS = 500
"""Inputs of a target that are kept in memory."""
MAX_SECONDS = 2.0
"""One input may take that long on a busy machine; a real hang takes for ever."""
BATCH = 200
"""Inputs between two looks at what stays in memory."""
MAX_LEAK = 1024 * 1024
"""Bytes a batch may leave behind."""


class Finding(AssertionError):
    """An input broke a rule. Its text says which; `data` is the input."""

    def __init__(self, text: str, data: bytes) -> None:
        super().__init__(text)
        self.data = data


@dataclass
class Fuzzer:
    """Fuzzes one target. Give it the same seed and it does the same."""

    name: str
    target: Target
    rng: Random
    inputs: list[bytes] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    runs: int = 0

    def __post_init__(self) -> None:
        for data in (b"", *self.target.seeds, *saved_inputs(self.name)):
            self.run(data)
            self.inputs.append(data)

    def batch(self, count: int) -> Iterator[bytes]:
        """Run that many mutated inputs; yields those that did something new. Raises Finding."""
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        kept = 0
        for _ in range(count):
            data = mutate(self.rng, self.rng.choice(self.inputs), self.rng.choice(self.inputs))
            if self.run(data) and len(self.inputs) < MAX_CORPUS:
                self.inputs.append(data)
                kept += len(data)
                yield data
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        if after - before - kept > MAX_LEAK:
            raise Finding(f"{self.name}: {after - before} bytes stayed after {count} inputs", b"")

    def run(self, data: bytes) -> bool:
        """True when something happened that had not before. Raises Finding."""
        self.runs += 1
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        began = time.perf_counter()
        word = self._outcome(data)
        seconds = time.perf_counter() - began
        _, peak = tracemalloc.get_traced_memory()
        if peak - before > self.target.memory:
            raise Finding(f"{self.name}: one input took {peak - before} bytes", data)
        if seconds > MAX_SECONDS:
            raise Finding(f"{self.name}: one input took {seconds:.1f} s", data)
        new = word not in self.seen
        self.seen.add(word)
        return new

    def _outcome(self, data: bytes) -> str:
        try:
            return self.target.run(data)
        except self.target.allowed as error:
            said = f"{type(error).__name__} {str(error).split(':')[0]}"
            return "".join(c for c in said if not c.isdigit())[:60]
        except Exception as error:  # whatever it is, the input that caused it must be kept
            raise Finding(f"{self.name}: {type(error).__name__}: {error}", data) from error


def saved_inputs(name: str) -> list[bytes]:
    """The corpus of a target on disk."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*.bin"))]


def save_input(name: str, data: bytes, *, finding: bool = False) -> Path:
    """Keep an input in the corpus."""
    digest = hashlib.sha256(data).hexdigest()[:16]
    path = CORPUS / name / f"{'finding-' if finding else ''}{digest}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
