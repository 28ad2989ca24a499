"""What changed since which version, and what a reader is told of it."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from coordinator.registry.change_log import ChangeLog
from coordinator.registry.delta import make_deltas
from mesh.capability import Load
from mesh.ids import NodeId
from mesh.wire.registry import MAX_ROWS, Scope, encode

A, B, C = (NodeId(digit * 40) for digit in "123")


def test_a_reader_gets_each_changed_node_once_the_latest_last() -> None:
    log = ChangeLog()
    for node in (A, B, C):
        assert log.put(node, 1, "seen", True, Load())
    seen = log.version
    assert log.since(0) == [A, B, C]
    assert not log.put(A, 1, "seen", True, Load())
    assert log.put(B, 1, "seen", True, Load(in_flight=1))
    assert log.put(A, 2, "seen", True, Load())
    assert log.put(B, 1, "seen", True, Load(in_flight=2))
    assert log.since(seen) == [A, B]
    assert log.since(log.version) == []


def test_dropped_nodes_are_told_until_too_many_are() -> None:
    log = ChangeLog(most_dropped=2)
    for node in (A, B, C):
        log.put(node, 1, "seen", True, Load())
    seen = log.version
    assert log.drop(A)
    assert not log.drop(A)
    assert log.since(seen) == [A]
    assert log.covers(seen)
    log.drop(B)
    log.drop(C)
    assert not log.covers(seen)
    assert log.covers(log.version)
    assert not log.covers(log.version + 1)


@given(st.integers(0, 2**32).map(Random))
def test_following_deltas_gives_what_a_full_copy_gives(rng: Random) -> None:
    log, copy, at = ChangeLog(), dict[NodeId, tuple[int, Load]](), 0
    nodes = [NodeId(f"{number:040x}") for number in range(8)]
    for _ in range(60):
        node = rng.choice(nodes)
        if rng.random() < 0.2:
            log.drop(node)
        else:
            log.put(node, rng.randint(1, 4), "seen", True, Load(in_flight=rng.randint(0, 3)))
        if rng.random() < 0.3:
            at = follow(log, copy, at)
    follow(log, copy, at)
    rows = {node: log.get(node) for node in nodes}
    assert copy == {node: (row.seq, row.load) for node, row in rows.items() if row is not None}


def follow(log: ChangeLog, copy: dict[NodeId, tuple[int, Load]], at: int) -> int:
    """Apply what changed as a subscriber does; records here are just their seq."""

    def remaining(node: NodeId) -> tuple[float, bytes]:
        row = log.get(node)
        assert row is not None
        return 1.0, f"{node} {row.seq}".encode()

    for delta in make_deltas(log, log.since(at), at, Scope.ALL, remaining):
        for _, data in delta.records:
            name, seq = data.decode().split()
            copy[NodeId(name)] = int(seq), copy.get(NodeId(name), (0, Load()))[1]
        for node, load in delta.loads:
            copy[node] = copy[node][0], load
        for node in delta.dropped:
            copy.pop(node, None)
        at = at if delta.version is None else delta.version
    return at


def test_many_rows_come_in_parts_that_fit_and_only_the_last_has_a_version() -> None:
    log = ChangeLog()
    nodes = [NodeId(f"{number:040x}") for number in range(3 * MAX_ROWS)]
    for node in nodes:
        log.put(node, 1, "seen", True, Load(in_flight=1))
    deltas = list(make_deltas(log, log.since(0), 0, Scope.ALL, lambda _: (1.0, bytes(700))))
    assert len(deltas) > 60
    assert all(encode(delta) for delta in deltas)
    assert [delta.version for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert deltas[-1].version == log.version
    assert sum(len(delta.records) for delta in deltas) == len(nodes)


def test_coordinators_tell_each_other_only_of_nodes_linked_there() -> None:
    log = ChangeLog()
    log.put(A, 1, "seen", True, Load())
    log.put(B, 1, "seen", False, Load())
    (delta,) = make_deltas(log, log.since(0), 0, Scope.LINKED, lambda node: (1.0, node.encode()))
    assert [data for _, data in delta.records] == [A.encode()]
    version = log.version
    log.put(A, 1, "seen", False, Load())
    (delta,) = make_deltas(log, log.since(version), version, Scope.LINKED, lambda _: (1.0, b""))
    assert delta.dropped == (A,)
    log.put(A, 1, "lost", False, Load())
    (delta,) = make_deltas(log, log.since(version), version, Scope.LINKED, lambda _: (1.0, b""))
    assert delta.lost == ((A, 1),)
