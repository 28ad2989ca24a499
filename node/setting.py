"""A setting: a field of the configuration with what people are told about it."""

from __future__ import annotations

from typing import Any

from pydantic import Field


def setting(
    default: Any, about: str, *, flag: str = "", metavar: str = "", unit: str = "", cost: str = ""
) -> Any:
    """A field with what the reference and the command line say about it.

    `cost` is what raising the value (or switching it on) costs. A callable default is called.
    """
    extra: dict[str, Any] = {"flag": flag, "metavar": metavar, "unit": unit, "cost": cost}
    if callable(default):
        return Field(default_factory=default, description=about, json_schema_extra=extra)
    return Field(default=default, description=about, json_schema_extra=extra)
