"""What commands write: text and JSON on standard output, remarks on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any


def say(text: str, *, end: str = "\n") -> None:
    """Write to standard output at once. Text from other nodes belongs through `printable`."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def remark(text: str, *, end: str = "\n") -> None:
    """Write to standard error at once: progress and errors, never the result."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def say_json(value: Any, *, indent: int | None = 2) -> None:
    """Write one JSON value; `indent` None puts it on one line."""
    say(json.dumps(value, indent=indent, ensure_ascii=False))


def printable(text: object) -> str:
    """Text without control characters, so that a peer's words cannot steer the terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for character in str(text)
    )


def render_rows(rows: Sequence[Sequence[object]], *, head: Sequence[str] = ()) -> str:
    """Aligned columns, two spaces apart, with an optional line of headings."""
    lines = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    if head:
        lines.insert(0, list(head))
    if not lines:
        return ""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
