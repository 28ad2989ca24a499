"""The repository's own Python files, parsed, for the tests that look at the code itself."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("mesh", "dht", "coordinator", "services", "edge_router", "node")
PACKAGES = (*PRODUCT, "tests", "benchmarks", "chaos")


@dataclass(frozen=True)
class Source:
    """One Python file. `path` is relative to the repository."""

    path: str
    text: str

    @property
    def module(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        """The top-level package it belongs to."""
        return self.path.split("/")[0]

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, self.path)


def python_sources() -> list[Source]:
    """Every Python file of ours that git tracks or would track."""
    return [
        Source(path, (ROOT / path).read_text())
        for path in listed_files()
        if path.endswith(".py") and path.split("/")[0] in PACKAGES
    ]


def product_sources() -> list[Source]:
    """Those that are shipped."""
    return [source for source in python_sources() if source.package in PRODUCT]


def listed_files() -> list[str]:
    """Paths of all files that git tracks or would track, without deleted ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive, or no git here
        return sorted(_walk())
    return sorted({path for path in listing.stdout.splitlines() if (ROOT / path).is_file()})


def _walk() -> Iterator[str]:
    for path in ROOT.rglob("*"):
        relative = path.relative_to(ROOT)
        hidden = any(part.startswith(".") for part in relative.parts[:1])
        if path.is_file() and not hidden and "__pycache__" not in relative.parts:
            yield relative.as_posix()
