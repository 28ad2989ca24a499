"""The version of this release, as a constant: reading package metadata costs 30 ms a start."""

from __future__ import annotations

VERSION = "0.1.0"
"""The same as in pyproject.toml; a test compares them."""
