"""Who is known to have seen the beginning of a prompt."""

from __future__ import annotations

from coordinator.scheduling.prefixes import (
    KEPT_SECONDS,
    LEAST_CHARACTERS,
    MAX_CHARACTERS,
    MAX_MARKS,
    MAX_NODES,
    MAX_PREFIXES,
    Mark,
    Prefixes,
    marks_of,
)
from mesh.ids import NodeId
from mesh.jobs import JobSpec

ONE, TWO = NodeId("1" * 40), NodeId("2" * 40)
LONG = "All of this is told to the model first. " * 60


def talk(*texts: str, model: str = "m") -> JobSpec:
    roles = ("system", *("user", "assistant") * len(texts))
    pairs = zip(roles, texts, strict=False)
    return JobSpec("chat", model, tuple({"role": r, "content": t} for r, t in pairs))


def test_the_next_turn_goes_on_from_what_was_seen() -> None:
    prefixes = Prefixes()
    prefixes.remember(marks_of(talk(LONG, "Hello?"), "tenant"), ONE, 0.0)
    next_turn = talk(LONG, "Hello?", "Hello.", "And now?")
    assert prefixes.find(marks_of(next_turn, "tenant"), 1.0) == {ONE: len(LONG) + len("Hello?")}


def test_only_what_is_the_same_from_the_start_counts() -> None:
    prefixes = Prefixes()
    prefixes.remember(marks_of(talk(LONG, "Hello?"), "tenant"), ONE, 0.0)
    assert not prefixes.find(marks_of(talk("X" + LONG, "Hello?"), "tenant"), 1.0)
    assert not prefixes.find(marks_of(talk(LONG, "Hello?", model="other"), "tenant"), 1.0)
    assert prefixes.find(marks_of(talk(LONG, "Else"), "tenant"), 1.0) == {ONE: len(LONG)}


def test_no_tenant_learns_what_another_has_asked() -> None:
    prefixes = Prefixes()
    prefixes.remember(marks_of(talk(LONG), "tenant"), ONE, 0.0)
    assert not prefixes.find(marks_of(talk(LONG), "another"), 1.0)


def test_it_is_forgotten_in_time() -> None:
    prefixes = Prefixes()
    marks = marks_of(talk(LONG), "tenant")
    prefixes.remember(marks, ONE, 0.0)
    assert prefixes.find(marks, KEPT_SECONDS)
    assert not prefixes.find(marks, KEPT_SECONDS + 1)
    prefixes.remember(marks, TWO, KEPT_SECONDS + 1)
    assert set(prefixes.find(marks, KEPT_SECONDS + 2)) == {TWO}


def test_short_prompts_are_no_reason_to_prefer_anybody() -> None:
    assert marks_of(talk("Be kind.", "Hello?"), "tenant") == ()
    assert marks_of(JobSpec("completion", "m", prompt="x" * (LEAST_CHARACTERS - 1)), "t") == ()


def test_plain_prompts_and_parts_of_text_count_as_well() -> None:
    longer = JobSpec("completion", "m", prompt=LONG + "and more")
    prefixes = Prefixes()
    prefixes.remember(marks_of(JobSpec("completion", "m", prompt=LONG), "t"), ONE, 0.0)
    assert prefixes.find(marks_of(longer, "t"), 1.0) == {ONE: 2 * LEAST_CHARACTERS}
    parts = ({"type": "text", "text": LONG}, {"type": "image_url", "image_url": {"url": "data:"}})
    job = JobSpec("chat", "m", ({"role": "user", "content": list(parts)},))
    assert marks_of(job, "t")[-1].characters == len(LONG)


def test_everything_kept_is_bounded() -> None:
    prefixes = Prefixes()
    for number in range(MAX_PREFIXES + 100):
        prefixes.remember((Mark(number, 2000),), ONE, float(number) / 1000)
    assert len(prefixes) == MAX_PREFIXES
    for number in range(10):
        prefixes.remember((Mark(-1, 2000),), NodeId(f"{number:040x}"), 1.0)
    assert len(prefixes.find((Mark(-1, 2000),), 1.0)) == MAX_NODES
    many = talk(*[LONG] * 40)
    assert len(marks_of(many, "t")) == MAX_MARKS
    assert marks_of(many, "t")[-1].characters <= MAX_CHARACTERS
