"""Imports point down, and nothing imports in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.sources import PACKAGES, Source, python_sources

FLOOR = frozenset({"mesh"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "mesh": FLOOR,
    "dht": FLOOR | {"dht"},
    "coordinator": FLOOR | {"dht", "coordinator"},
    "services": FLOOR | {"dht", "services"},
    "edge_router": FLOOR | {"dht", "edge_router"},
    "node": FLOOR | {"dht", "coordinator", "services", "edge_router", "node"},
    "tests": frozenset(PACKAGES),
    "benchmarks": frozenset(PACKAGES) - {"tests", "chaos"},
    "chaos": frozenset(PACKAGES) - {"tests"},
}
LAZY = frozenset(
    {"async_upnp_client", "difflib", "iroh", "llama_cpp", "pynvml", "torch", "uvloop", "zeroconf"}
)
"""What a function may import: heavy extras, and what would slow the start of every command."""


def imports_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Modules imported anywhere in a file or function, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno


def find_upward_imports(sources: Iterable[Source]) -> list[str]:
    """Imports that point up or sideways, and relative ones."""
    found = []
    for source in sources:
        for name, line in imports_in(source.tree):
            top = name.split(".")[0]
            if name.startswith("."):
                found.append(f"{source.path}:{line} imports relatively: {name}")
            elif top in PACKAGES and top not in MAY_IMPORT[source.package]:
                found.append(f"{source.path}:{line} may not import {name}")
    return found


def find_local_imports(sources: Iterable[Source]) -> list[str]:
    """Imports inside functions, but for what is optional or slow to load."""
    found = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [
                    f"{source.path}:{line} imports {name} inside {node.name}"
                    for name, line in imports_in(node)
                    if name.split(".")[0] not in LAZY
                ]
    return found


def find_cycles(sources: Iterable[Source]) -> list[str]:
    """Circles of modules that import each other while they are loaded."""
    known = {source.module: source for source in sources}
    edges = {name: _loaded_by(source, frozenset(known)) for name, source in known.items()}
    done: set[str] = set()
    cycles: list[str] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            cycles.append(" -> ".join((*trail[trail.index(name) :], name)))
        elif name not in done:
            for target in sorted(edges[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())
    return cycles


def _loaded_by(source: Source, known: frozenset[str]) -> set[str]:
    targets: set[str] = set()
    for node in source.tree.body:
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            targets |= names & known or {node.module}
    return targets & known - {source.module}


def test_imports_point_down() -> None:
    assert find_upward_imports(python_sources()) == []


def test_functions_import_only_what_is_optional_or_slow() -> None:
    product = [source for source in python_sources() if source.package != "tests"]
    assert find_local_imports(product) == []


def test_no_modules_import_in_a_circle() -> None:
    assert find_cycles(python_sources()) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mesh/links/pool.py", "from dht.table import Table"),
        ("dht/table.py", "import coordinator.jobs"),
        ("services/host.py", "from coordinator.scheduling import policy"),
        ("coordinator/jobs.py", "def late():\n    from services.host import Host"),
        ("edge_router/main.py", "import node"),
        ("mesh/ids.py", "from . import errors"),
        ("benchmarks/run.py", "from tests.fakes import knobs"),
    ],
)
def test_a_planted_upward_import_is_found(path: str, text: str) -> None:
    assert len(find_upward_imports([Source(path, text)])) == 1


def test_a_planted_local_import_is_found() -> None:
    planted = "import asyncio\nasync def late():\n    import json\n    import llama_cpp\n"
    assert find_local_imports([Source("node/a.py", planted)]) == [
        "node/a.py:3 imports json inside late"
    ]


def test_a_planted_circle_is_found() -> None:
    planted = [
        Source("mesh/a.py", "from mesh import b"),
        Source("mesh/b.py", "from mesh.c import C"),
        Source("mesh/c.py", "import mesh.a"),
        Source("mesh/d.py", "import mesh.a\ndef late():\n    import mesh.d"),
    ]
    assert find_cycles(planted) == ["mesh.a -> mesh.b -> mesh.c -> mesh.a"]
