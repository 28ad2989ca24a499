"""Plants the trees in trees/ below a temporary folder.

A tree is one text file: a header that says where it comes from, then `-- path --` before the
content of each file. One file a tree keeps colons, as in PCI addresses, out of our own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

TREES = Path(__file__).parent / "trees"

Plant = Callable[[str], Path]


def parse_tree(text: str) -> dict[str, str]:
    """Path to content of one tree. The header must say whether it was recorded or composed."""
    header, *parts = re.split(r"^-- (.+) --\n", text, flags=re.MULTILINE)
    assert header.startswith(("Recorded ", "Composed ")), "a tree says where it comes from"
    return dict(zip(parts[0::2], parts[1::2], strict=True))


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Makes the files of a tree and answers its root."""

    def make(name: str) -> Path:
        root = tmp_path / name
        for path, content in parse_tree((TREES / f"{name}.txt").read_text()).items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        return root

    return make


@pytest.fixture
def displays() -> Callable[[str], str]:
    """The text system_profiler printed, by the name of the file."""
    return lambda name: (TREES / f"displays-{name}.json").read_text()
