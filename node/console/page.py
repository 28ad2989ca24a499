"""The page at `/`: one self-contained file without data in it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def console_page() -> bytes:
    """The HTML, with its style and script inside."""
    return files("node.console").joinpath("page.html").read_bytes()
