"""Files and functions stay small enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from tests.sources import Source, python_sources

MAX_FILE = 400
MAX_FUNCTION = 60


def find_long(sources: Iterable[Source]) -> list[str]:
    """Files and functions with too many lines."""
    found = []
    for source in sources:
        lines = source.text.count("\n")
        if lines > MAX_FILE:
            found.append(f"{source.path} has {lines} lines")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION:
                    found.append(f"{source.path}:{node.lineno} {node.name} has {length} lines")
    return found


def test_files_and_functions_are_short() -> None:
    assert find_long(python_sources()) == []


def test_a_planted_long_file_and_function_are_found() -> None:
    body = "    pass\n" * MAX_FUNCTION
    planted = [
        Source("mesh/long.py", "\n" * (MAX_FILE + 1)),
        Source("mesh/function.py", f"class A:\n  async def f(self):\n{body}"),
        Source("mesh/right.py", f"def f():\n{body[9:]}"),
    ]
    assert find_long(planted) == [
        f"mesh/long.py has {MAX_FILE + 1} lines",
        f"mesh/function.py:2 f has {MAX_FUNCTION + 1} lines",
    ]
