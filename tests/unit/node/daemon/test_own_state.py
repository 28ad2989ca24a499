"""The state a node tells the mesh."""

from __future__ import annotations

from node.own_state import own_state


def test_trouble_degrades_with_its_reasons_and_draining_comes_first() -> None:
    assert own_state(draining=False, troubles=("", "")) == ("ready", "")
    assert own_state(draining=False, troubles=("late", "", "no engine")) == (
        "degraded",
        "late; no engine",
    )
    assert own_state(draining=True, troubles=("late",))[0] == "draining"
