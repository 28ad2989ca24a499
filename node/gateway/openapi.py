"""The OpenAPI description at /openapi.json, kept as data beside this module."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def openapi_document() -> bytes:
    """The document as it is served."""
    return files("node.gateway").joinpath("openapi.json").read_bytes()
