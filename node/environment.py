"""The only reader of environment variables. No other module touches `os.environ`."""

from __future__ import annotations

import os
from collections.abc import Mapping

PREFIX = "ELECTRONS_"


def environment() -> Mapping[str, str]:
    """The process's variables, live."""
    return os.environ


def variable(name: str) -> str | None:
    """ELECTRONS_<name>, None when it is not set or empty."""
    return os.environ.get(PREFIX + name) or None


def take_variable(name: str) -> str:
    """ELECTRONS_<name>, which children must not inherit: it is removed. "" when it is not set."""
    return os.environ.pop(PREFIX + name, "")
