"""Which GGUF files a node could serve, and what they take."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from mesh.capability import Gpu, Resources
from mesh.errors import WireError
from services.gguf import read_shape
from services.startable import (
    BUFFERS,
    HOST_MEMORY,
    MAX_STARTABLE,
    demo_startable,
    find_gguf,
    gguf_startables,
)

GIB = 2**30
PLAIN = Resources(4.0, 32 * GIB)
U32, F32, STRING, ARRAY = 4, 6, 8, 9


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def gguf(*pairs: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


LLAMA = gguf(
    pair("general.architecture", STRING, text("llama")),
    pair("tokenizer.ggml.tokens", ARRAY, struct.pack("<IQ", STRING, 2) + text("a") + text("b")),
    pair("tokenizer.ggml.scores", ARRAY, struct.pack("<IQ", F32, 2) + bytes(8)),
    pair("llama.block_count", U32, struct.pack("<I", 32)),
    pair("llama.embedding_length", U32, struct.pack("<I", 4096)),
    pair("llama.attention.head_count", U32, struct.pack("<I", 32)),
    pair("llama.attention.head_count_kv", U32, struct.pack("<I", 8)),
)
CONTEXT_8B = 2 * 32 * 1024 * 4096 * 2
"""Llama 3 8B: 32 layers, 8 heads of 128, keys and values of 2 bytes: half a GiB for 4,096."""


def test_the_context_is_reckoned_from_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(LLAMA)
    assert read_shape(file).context_bytes(4096) == CONTEXT_8B == GIB // 2


def test_a_file_that_does_not_say_gets_a_cautious_guess(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf())
    assert read_shape(file).context_bytes(4096) == GIB


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGML" + bytes(40),
        LLAMA[:-3],
        LLAMA[:30],
        b"GGUF" + struct.pack("<IQQ", 9, 0, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40),
        gguf(pair("k", 77, b"")),
        gguf(pair("k", STRING, struct.pack("<Q", 2**60))),
        gguf(pair("k", ARRAY, struct.pack("<IQ", U32, 2**60))),
        gguf(pair("k", ARRAY, struct.pack("<IQ", ARRAY, 1))),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**40),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(data)
    with pytest.raises(WireError):
        read_shape(file)


def test_files_are_taken_by_name_and_sized(tmp_path: Path) -> None:
    (tmp_path / "Big-8B-Q8_0.gguf").write_bytes(LLAMA)
    (tmp_path / "broken.gguf").write_bytes(b"no")
    (tmp_path / "notes.txt").write_bytes(LLAMA)
    (one,) = gguf_startables(tmp_path, PLAIN)
    assert (one.runnable.model, one.runnable.engine) == ("Big-8B-Q8_0", "llama.cpp")
    assert one.runnable.memory == len(LLAMA) + CONTEXT_8B + BUFFERS
    assert one.runnable.gpu_memory == 0


def test_on_a_card_that_holds_it_a_model_takes_the_cards_memory(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(LLAMA)
    size = len(LLAMA) + CONTEXT_8B + BUFFERS
    (large,) = gguf_startables(tmp_path, Resources(4.0, GIB, (Gpu("card", size),)))
    assert (large.runnable.memory, large.runnable.gpu_memory) == (HOST_MEMORY, size)
    (small,) = gguf_startables(tmp_path, Resources(4.0, GIB, (Gpu("card", size - 1),)))
    assert (small.runnable.memory, small.runnable.gpu_memory) == (size, 0)


def test_a_split_model_is_one_model_of_all_its_parts(tmp_path: Path) -> None:
    for part in (1, 2, 3):
        (tmp_path / f"big[x]-0000{part}-of-00003.gguf").write_bytes(LLAMA)
    (tmp_path / "other-00001-of-00002.gguf").write_bytes(LLAMA)
    big, other = gguf_startables(tmp_path, PLAIN)
    assert big.runnable.memory - other.runnable.memory == 2 * len(LLAMA)


def test_no_more_models_are_told_than_a_record_holds(tmp_path: Path) -> None:
    for number in range(MAX_STARTABLE + 5):
        (tmp_path / f"{number:03}.gguf").write_bytes(LLAMA)
    assert len(gguf_startables(tmp_path, PLAIN)) == MAX_STARTABLE
    for number in range(40):
        (tmp_path / f"{number:03}{'n' * 150}.gguf").write_bytes(LLAMA)
    assert len(gguf_startables(tmp_path, PLAIN)) < 40


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert gguf_startables(tmp_path / "missing", PLAIN) == ()
    assert find_gguf(tmp_path / "missing", PLAIN) == ()


def test_the_demo_model_can_always_be_started() -> None:
    demo = demo_startable(slots=1000)
    assert (demo.runnable.model, demo.runnable.engine) == ("demo", "demo")
    assert demo.runnable.memory < GIB
    assert demo.make(None).name == "demo"
