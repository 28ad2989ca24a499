"""The kept corpus and a few thousand fresh inputs; `python -m tests.fuzz` goes on for longer."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from random import Random

import pytest

from tests.fuzz.fuzzer import Finding, Fuzzer
from tests.fuzz.targets import TARGETS, Target


@pytest.fixture(autouse=True)
def traced_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks_a_target(name: str) -> None:
    fuzzer = Fuzzer(name, TARGETS[name], Random(f"test/{name}"))
    for _ in fuzzer.batch(150):
        pass
    assert fuzzer.runs > 150


def crash(data: bytes) -> str:
    raise KeyError("a bug")


def hoard(data: bytes) -> str:
    return str(len(bytes(2_000_000)))


def test_a_planted_crash_is_found_with_its_input() -> None:
    with pytest.raises(Finding, match="KeyError") as found:
        Fuzzer("planted", Target(crash, (ValueError,), (b"x",), 10_000), Random(0))
    assert found.value.data == b""


def test_a_planted_memory_hog_is_found() -> None:
    with pytest.raises(Finding, match="bytes"):
        Fuzzer("planted", Target(hoard, (), (b"x",), 1_000_000), Random(0))


def test_a_planted_leak_is_found() -> None:
    kept: list[bytes] = []

    def leak(data: bytes) -> str:
        kept.append(bytes(20_000))
        return ""

    fuzzer = Fuzzer("planted", Target(leak, (), (b"x",), 100_000), Random(0))
    with pytest.raises(Finding, match="stayed"):
        list(fuzzer.batch(100))
