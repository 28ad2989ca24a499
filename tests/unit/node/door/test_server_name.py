"""The wanted name is read from TLS's first message, and from nothing else."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import WireError
from node.door.server_name import MAX_HELLO, ServerNames
from tests.fakes.tls_client import MemoryClient

NAMES = ServerNames()


@pytest.mark.parametrize("most", [None, ssl.TLSVersion.TLSv1_2])
def test_the_name_is_found_however_the_bytes_come(most: ssl.TLSVersion | None) -> None:
    hello = MemoryClient("Alice.Mesh.Example", most=most).shake()
    reader = NAMES.reader()
    for byte in hello[:-1]:
        assert reader.feed(bytes([byte])) is None
    assert reader.feed(hello[-1:]) == "alice.mesh.example"
    assert reader.received == hello, "the holder has to see all of it"


def test_an_unknown_name_is_refused_as_tls_clients_understand_it() -> None:
    client = MemoryClient("nobody.mesh.example")
    reader = NAMES.reader()
    reader.feed(client.shake())
    with pytest.raises(ssl.SSLError, match="unrecognized name"):
        client.shake(reader.refusal())


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: alice.mesh.example\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        bytes(64),
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff",
        MemoryClient(None).shake(),
    ],
    ids=["http", "ssh", "zeros", "short hello", "no name"],
)
def test_what_names_nobody_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        NAMES.reader().feed(data)


def test_a_hello_without_end_is_refused_soon() -> None:
    reader = NAMES.reader()
    record = b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xff" + bytes(0x4000 - 4)
    with pytest.raises(WireError):
        for start in range(0, 4 * MAX_HELLO, 1024):
            reader.feed((record * 8)[start : start + 1024])
    assert len(reader.received) <= MAX_HELLO + 1024


def test_one_clients_name_is_not_taken_for_anothers() -> None:
    first, second = NAMES.reader(), NAMES.reader()
    one, two = MemoryClient("one.example").shake(), MemoryClient("two.example").shake()
    assert first.feed(one[:100]) is None
    assert second.feed(two) == "two.example"
    assert first.feed(one[100:]) == "one.example"


@given(st.integers(0, 516), st.integers(0, 255), st.integers(0, 516))
def test_damaged_hellos_are_read_or_refused(at: int, value: int, cut: int) -> None:
    hello = bytearray(MemoryClient("alice.mesh.example").shake())
    hello[at] = value
    try:
        name = NAMES.reader().feed(bytes(hello[: cut or None]))
    except WireError:
        return
    assert name is None or isinstance(name, str)
