"""House rules that a reader would otherwise have to police: names, tasks, leftovers, paths."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import pytest

from tests.sources import ROOT, Source, listed_files, product_sources, python_sources

FORBIDDEN_NAMES = frozenset(
    {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "shared"}
)
TASK_MAKERS = frozenset({"create_task", "ensure_future"})
TASK_OWNER = "mesh/lifecycle.py"
LEFTOVERS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
PRIVATE_PLACES = re.compile(
    r"/work/|/root/|/home/(?!electrons\b)\w+|/opt/(pypi|wheels)|(extra-)?index-url|find-links"
    r"|files\.pythonhosted|pypi\.org/simple"
)
"""Paths of one machine, and where packages come from: both belong to whoever builds."""
TEXT = frozenset(
    {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".json", ".sh", ".html", ".css", ".js", ""}
)
MAX_TEXT = 1 << 20
"""Bytes of a file that is searched; larger ones are data."""


def find_forbidden_names(paths: Iterable[str]) -> list[str]:
    """Files and folders whose name says nothing."""
    return [
        path
        for path in paths
        if any(part.split(".")[0].lower() in FORBIDDEN_NAMES for part in PurePosixPath(path).parts)
    ]


def find_stray_tasks(sources: Iterable[Source]) -> list[str]:
    """Tasks made outside the one module that owns them."""
    return [
        f"{source.path}:{node.lineno} {_called(node)}"
        for source in sources
        if source.path != TASK_OWNER
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _called(node) in TASK_MAKERS
    ]


def find_environment_readers(sources: Iterable[Source]) -> list[str]:
    """Reads of environment variables outside node/environment.py.

    Handing all of them on to a child process (`{**os.environ, ...}`) is not reading.
    """
    return [
        f"{source.path}:{node.lineno}"
        for source in sources
        if source.path != "node/environment.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
        if not _is_handed_on(source.tree, node)
    ]


def _is_handed_on(tree: ast.Module, read: ast.Attribute) -> bool:
    return any(
        key is None and value is read
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
    )


def find_in_text(pattern: re.Pattern[str], files: Iterable[tuple[str, str]]) -> list[str]:
    """Lines that match."""
    return [
        f"{path}:{number} {line.strip()[:80]}"
        for path, text in files
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def find_unfinished(sources: Iterable[Source]) -> list[str]:
    """Functions that only say that they are not written yet."""
    return [
        f"{source.path}:{node.lineno}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
        if not _is_handled(source.tree, node)
    ]


def _is_handled(tree: ast.Module, name: ast.Name) -> bool:
    """True where it is caught: the event loop of some platforms raises it."""
    return any(
        isinstance(handler, ast.ExceptHandler)
        and handler.type is not None
        and any(part is name for part in ast.walk(handler.type))
        for handler in ast.walk(tree)
    )


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def texts() -> list[tuple[str, str]]:
    """Every text file of the repository but this one."""
    files = [ROOT / path for path in listed_files()]
    return [
        (path.relative_to(ROOT).as_posix(), path.read_text(errors="replace"))
        for path in files
        if path.suffix in TEXT
        and path.stat().st_size <= MAX_TEXT
        and path.name != "test_hygiene.py"
    ]


def test_names_say_what_is_inside() -> None:
    assert find_forbidden_names(listed_files()) == []


def test_only_the_owner_of_tasks_makes_tasks() -> None:
    assert find_stray_tasks(product_sources()) == []


def test_only_one_module_reads_the_environment() -> None:
    assert find_environment_readers(product_sources()) == []


def test_nothing_is_left_for_later() -> None:
    assert find_in_text(LEFTOVERS, texts()) == []
    assert find_unfinished(python_sources()) == []


def test_no_private_place_is_named() -> None:
    assert find_in_text(PRIVATE_PLACES, texts()) == []


@pytest.mark.parametrize("path", ["node/utils.py", "mesh/common/ids.py", "tests/unit/Helpers.md"])
def test_a_planted_bad_name_is_found(path: str) -> None:
    assert find_forbidden_names([path, "mesh/ids.py"]) == [path]


def test_planted_tasks_are_found() -> None:
    planted = "asyncio.create_task(x)\nloop.create_task(x)\nensure_future(x)\ncreate(x)"
    assert len(find_stray_tasks([Source("dht/a.py", planted)])) == 3
    assert find_stray_tasks([Source(TASK_OWNER, planted)]) == []


def test_planted_reads_of_the_environment_are_found() -> None:
    planted = "import os\nos.environ['A']\nos.getenv('B')\nos.path\n{**os.environ, 'C': ''}"
    assert len(find_environment_readers([Source("dht/a.py", planted)])) == 2


def test_planted_leftovers_are_found() -> None:
    planted = "def f():\n    raise NotImplementedError('later')\n"
    assert find_unfinished([Source("dht/a.py", planted)]) == ["dht/a.py:2"]
    caught = "try:\n    g()\nexcept (OSError, NotImplementedError):\n    h()\n"
    assert find_unfinished([Source("dht/a.py", caught)]) == []
    assert len(find_in_text(LEFTOVERS, [("a.md", "# TODO: more\n# FIXME\n# todos\n")])) == 2


@pytest.mark.parametrize(
    "line", ["cd /work/x", "pip install --index-url https://a", "open('/home/ann/x')"]
)
def test_a_planted_private_place_is_found(line: str) -> None:
    assert len(find_in_text(PRIVATE_PLACES, [("a.sh", f"echo\n{line}\n")])) == 1
