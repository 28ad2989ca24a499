"""Bounded reads of the small text files under /proc and /sys."""

from __future__ import annotations

from pathlib import Path

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Holds /proc/cpuinfo of 2,000 cores and the public list of PCI names."""


def read_text(path: Path) -> str | None:
    """The file's text without surrounding white space, None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """The file's only number, decimal or 0x hexadecimal; None when there is none."""
    return parse_int(read_text(path))


def parse_int(text: str | None) -> int | None:
    """A decimal or 0x hexadecimal number, None when it is not one."""
    try:
        return int(text, 0) if text else None
    except ValueError:
        return None


def read_pairs(path: Path, separator: str | None = None) -> dict[str, str]:
    """Lines of name, separator (None: white space) and value; of equal names the first counts."""
    return parse_pairs(read_text(path) or "", separator)


def parse_pairs(text: str, separator: str | None = None) -> dict[str, str]:
    """As `read_pairs`, of text."""
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        name, *rest = line.split(separator, 1)
        if rest:
            pairs.setdefault(name.strip(), rest[0].strip())
    return pairs


def parse_ranges(text: str | None) -> frozenset[int]:
    """Numbers of a kernel list such as `0-3,8,10-11`; empty when malformed."""
    numbers: set[int] = set()
    try:
        for part in filter(None, (text or "").strip().split(",")):
            first, _, last = part.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    except ValueError:
        return frozenset()
    return frozenset(numbers)
