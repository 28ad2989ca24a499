"""REACH messages survive the wire, and nonsense does not."""

from __future__ import annotations

import msgpack
import pytest

from mesh.errors import WireError
from mesh.wire import reach
from mesh.wire.reach import ReachMe, Seen

LONG = "tcp://" + "x" * 300


@pytest.mark.parametrize("request_", [ReachMe(), ReachMe(7718, ("tcp://10.0.0.1:7718", "ws://x"))])
def test_requests_survive(request_: ReachMe) -> None:
    assert reach.decode_reach_me(reach.encode_reach_me(request_)) == request_


@pytest.mark.parametrize(
    "answer",
    [Seen(), Seen("203.0.113.5", (("tcp://203.0.113.5:1", "reached"), ("x", "silent")))],
)
def test_answers_survive(answer: Seen) -> None:
    assert reach.decode_seen(reach.encode_seen(answer)) == answer


def test_what_newer_nodes_add_is_ignored() -> None:
    data = msgpack.packb([reach.SEEN, "::1", [["a", 1, "more"], ["b", 99]], "more"])
    assert reach.decode_seen(data) == Seen("::1", (("a", "reached"),))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [reach.SEEN, 0, []],
        [reach.REACH_ME],
        [reach.REACH_ME, -1, []],
        [reach.REACH_ME, 65_536, []],
        [reach.REACH_ME, True, []],
        [reach.REACH_ME, 1, "tcp://x:1"],
        [reach.REACH_ME, 1, [LONG]],
        [reach.REACH_ME, 1, ["x"] * 17],
    ],
)
def test_malformed_requests_are_refused(parts: list[object]) -> None:
    with pytest.raises(WireError):
        reach.decode_reach_me(msgpack.packb(parts))


@pytest.mark.parametrize(
    "parts",
    [
        [reach.REACH_ME, 1, []],
        [reach.SEEN, "x" * 65, []],
        [reach.SEEN, "::1", [["a"]]],
        [reach.SEEN, "::1", [["a", "reached"]]],
        [reach.SEEN, "::1", [[LONG, 1]]],
        [reach.SEEN, "::1", [["a", 1]] * 17],
    ],
)
def test_malformed_answers_are_refused(parts: list[object]) -> None:
    with pytest.raises(WireError):
        reach.decode_seen(msgpack.packb(parts))


def test_large_messages_are_refused_unread() -> None:
    with pytest.raises(WireError):
        reach.decode_seen(b"\x00" * (reach.MAX_REACH_MESSAGE + 1))
