"""Turns one setting's raw value, from text or TOML, into its type, or says what is allowed."""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")

MAX_ITEMS = 256
"""Entries in one list setting; more is a mistake and would slow every start."""
SECRET = "(not shown)"
"""Stands for a secret in messages."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_GRANT = re.compile(r"electrons-grant-[A-Za-z0-9_-]{1,3000}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]i?B|B)?")
_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class BadValue(ValueError):
    """A setting's value is wrong. `allowed` says what is right; `setting` is a field name or ""."""

    def __init__(self, value: object, allowed: str, *, setting: str = "") -> None:
        super().__init__(allowed)
        self.value = value
        self.allowed = allowed
        self.setting = setting


def parse_name(raw: object) -> str:
    """A short name of letters, digits, dot, dash and underscore."""
    if isinstance(raw, str) and _NAME.fullmatch(raw):
        return raw
    raise BadValue(raw, "give 1 to 63 letters, digits, '.', '-' or '_', a letter or digit first")


def parse_path(raw: object) -> Path:
    """A path; "~" is the home folder."""
    if not isinstance(raw, str | Path) or not str(raw).strip() or "\0" in str(raw):
        raise BadValue(raw, "give a path")
    try:
        return Path(raw).expanduser().absolute()
    except RuntimeError:
        raise BadValue(raw, "this user has no home folder; give a path without '~'") from None


def parse_file(raw: object) -> Path:
    """The path of a file that exists."""
    path = parse_path(raw)
    if not path.is_file():
        raise BadValue(raw, "there is no such file; give the path of an existing one")
    return path


def parse_grant(raw: object) -> str:
    """A line that `electrons mesh grant` printed; what it says is checked when the node starts."""
    if isinstance(raw, str) and _GRANT.fullmatch(raw.strip()):
        return raw.strip()
    raise BadValue(str(raw)[:40], "give the whole line that 'electrons mesh grant' printed")


def parse_bool(raw: object) -> bool:
    """True or false, as TOML or as the words people write into environment variables."""
    if isinstance(raw, bool):
        return raw
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if isinstance(raw, str) and raw.strip().lower() in words:
        return words[raw.strip().lower()]
    raise BadValue(raw, "give true or false")


def parse_int(low: int, high: int) -> Callable[[object], int]:
    """Makes a parser of whole numbers from low to high."""

    def parse(raw: object) -> int:
        text = str(raw).strip()
        if isinstance(raw, int | str) and re.fullmatch(r"-?\d{1,18}", text):
            number = int(text)
            if low <= number <= high:
                return number
        raise BadValue(raw, f"give a whole number from {low} to {high}")

    return parse


def parse_float(low: float, high: float) -> Callable[[object], float]:
    """Makes a parser of numbers from low to high."""

    def parse(raw: object) -> float:
        allowed = f"give a number from {low:g} to {high:g}"
        if isinstance(raw, bool) or not isinstance(raw, int | float | str):
            raise BadValue(raw, allowed)
        try:
            number = float(raw)
        except ValueError:
            raise BadValue(raw, allowed) from None
        if not math.isfinite(number) or not low <= number <= high:
            raise BadValue(raw, allowed)
        return number

    return parse


def parse_size(raw: object) -> int:
    """A number of bytes; a suffix multiplies: kB, MB, GB, TB by 1000s, KiB, MiB, ... by 1024s."""
    allowed = "give bytes with a suffix, such as 4GiB or 512MiB, and at least 16MiB"
    match = _SIZE.fullmatch(str(raw).strip())
    if isinstance(raw, bool) or not isinstance(raw, int | str) or match is None:
        raise BadValue(raw, allowed)
    unit = (match[2] or "B").upper()
    factor = _BINARY_UNITS[unit[0]] if "I" in unit else _UNITS[unit.removesuffix("B")]
    size = int(float(match[1]) * factor)
    if not 16 * 2**20 <= size <= 2**50:
        raise BadValue(raw, allowed)
    return size


def parse_key(raw: object) -> str:
    """The digest of an API key: "sha256:" and 64 hex digits. The key itself is never kept."""
    if isinstance(raw, str) and _DIGEST.fullmatch(raw.strip()):
        return raw.strip()
    raise BadValue(SECRET, "give 'sha256:' and the digest that 'printf %s KEY | sha256sum' prints")


def parse_choice(choices: tuple[str, ...]) -> Callable[[object], str]:
    """Makes a parser of one word out of several."""

    def parse(raw: object) -> str:
        if isinstance(raw, str) and raw.strip() in choices:
            return raw.strip()
        hint = closest(raw, choices)
        raise BadValue(raw, f"give {' or '.join(choices)}" + (f"; near: {hint}" if hint else ""))

    return parse


def parse_list(item: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Makes a parser of a TOML array or of text with commas; doubles are dropped."""

    def parse(raw: object) -> tuple[T, ...]:
        entries = _split(raw)
        if len(entries) > MAX_ITEMS:
            raise BadValue(f"{len(entries)} entries", f"give at most {MAX_ITEMS}")
        return tuple(dict.fromkeys(item(entry) for entry in entries))

    return parse


def parse_aliases(raw: object) -> Mapping[str, str]:
    """A TOML table, or entries of the form alias=model."""
    allowed = "give ALIAS=MODEL, such as gpt-4o-mini=demo"
    pairs: Iterable[tuple[object, object]]
    if isinstance(raw, Mapping):
        pairs = raw.items()
    else:
        pairs = [_split_pair(entry, allowed) for entry in _split(raw)]
    aliases: dict[str, str] = {}
    for alias, model in pairs:
        if not (_is_model_name(alias) and _is_model_name(model)):
            raise BadValue(f"{alias}={model}", allowed)
        aliases[str(alias)] = str(model)
    if len(aliases) > MAX_ITEMS:
        raise BadValue(f"{len(aliases)} entries", f"give at most {MAX_ITEMS}")
    return MappingProxyType(aliases)


def optional(item: Callable[[object], T]) -> Callable[[object], T | None]:
    """Makes a parser that lets None through: the setting is not set."""
    return lambda raw: None if raw is None else item(raw)


def digest_key(key: str) -> str:
    """What is kept of an API key."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def closest(word: object, known: Iterable[str]) -> str:
    """The most similar known word, or "" when none is similar."""
    found = difflib.get_close_matches(str(word), list(known), n=1)
    return found[0] if found else ""


def _split(raw: object) -> list[Any]:
    if isinstance(raw, str):
        return [part.strip() for part in raw.split(",") if part.strip()]
    if isinstance(raw, list | tuple):
        return list(raw)
    raise BadValue(raw, "give a list")


def _split_pair(entry: object, allowed: str) -> tuple[str, str]:
    alias, equals, model = str(entry).partition("=")
    if not equals:
        raise BadValue(entry, allowed)
    return alias.strip(), model.strip()


def _is_model_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 256 and name.isprintable() and "=" not in name
