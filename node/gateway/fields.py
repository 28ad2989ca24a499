"""Takes typed fields out of a decoded JSON object, one by one, naming what is wrong.

What nobody took stays in the object: that is how unknown fields reach the engine untouched.
"""

from __future__ import annotations

from typing import Any

from mesh.errors import InvalidRequest

_WORDS = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}

MAX_EXACT = 2.0**53
"""Above this a JSON number read as a float may stand for several integers (RFC 8259, 6)."""


def wrong_type(name: str, expected: str, value: object) -> InvalidRequest:
    """The refusal for a field of the wrong type."""
    found = _WORDS.get(type(value), type(value).__name__)
    return InvalidRequest(f"{name} must be {expected}, got {found}", param=name)


def take_bool(body: dict[str, Any], name: str, default: bool = False) -> bool:
    """A boolean field; null and absent mean the default."""
    value = body.pop(name, None)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong_type(name, "a boolean", value)
    return value


def take_int(body: dict[str, Any], name: str, low: int, high: int) -> int | None:
    """An integer field within bounds; null and absent mean None. Zero is zero."""
    value = body.pop(name, None)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if not low <= value <= high:
        raise InvalidRequest(
            f"{name} must be between {low} and {high}, got {value}"[:200], param=name
        )
    return value


def take_float(body: dict[str, Any], name: str, low: float, high: float) -> float | None:
    """A number field within bounds; null and absent mean None. Zero is zero."""
    value = body.pop(name, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number", value)
    if not low <= value <= high:
        raise InvalidRequest(
            f"{name} must be between {low:g} and {high:g}, got {value:g}", param=name
        )
    return float(value)


def take_object(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An object field; null and absent mean an empty one."""
    value = body.pop(name, None)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong_type(name, "an object", value)
    return value


def take_text(body: dict[str, Any], name: str, longest: int) -> str | None:
    """A string field of bounded length; null and absent mean None."""
    value = body.pop(name, None)
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if len(value) > longest:
        raise InvalidRequest(f"{name} is longer than {longest} characters", param=name)
    return value
