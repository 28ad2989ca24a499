"""docs/configuration.md says what the settings say."""

from __future__ import annotations

from pathlib import Path

from node.config import Config, extras_of
from node.config_reference import render_reference

DOCUMENT = Path(__file__).parents[4] / "docs" / "configuration.md"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == render_reference(), "run 'make docs'"


def test_every_setting_is_described() -> None:
    for name, field in Config.model_fields.items():
        assert field.description, name
        assert f"## `{name}`" in render_reference()


def test_every_number_has_a_unit() -> None:
    for name in ("demo_rate", "slots", "memory_cap", "queue_limit", "deadline_seconds"):
        assert extras_of(name)["unit"], name
