"""What --engine means."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import ConfigError
from services.engine_choice import choose_engines


@pytest.mark.parametrize(
    ("words", "names", "discovers", "fallback"),
    [
        (["none"], [], False, None),
        (["demo"], ["demo"], False, None),
        (["auto"], [], True, "demo"),
        (["auto", "demo"], ["demo"], True, None),
        (["http://127.0.0.1:8000"], ["127.0.0.1:8000"], False, None),
        (
            ["https://engine.example.org/v1", "auto", "https://engine.example.org/v1"],
            ["engine.example.org"],
            True,
            "demo",
        ),
    ],
)
def test_words_become_engines(
    words: list[str], names: list[str], discovers: bool, fallback: str | None
) -> None:
    choice = choose_engines(words)
    assert [engine.name for engine in choice.engines] == names
    assert (choice.discovery is not None) is discovers
    assert (choice.fallback.name if choice.fallback else None) == fallback


def test_unusable_choices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        choose_engines(["llama"])
    with pytest.raises(ConfigError):
        choose_engines(["llama"], model_file=tmp_path / "missing.gguf")
    with pytest.raises(ConfigError):
        choose_engines(["gopher://x"])
