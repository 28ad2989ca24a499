"""The part of the table a node holds: merging, ageing, bounds, paging."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dht.storage import MAX_PER_ORIGIN, RecordStore
from mesh.ids import NodeId
from mesh.wire.dht_records import DhtRecord, SignedDhtRecord

OWN = NodeId("00" * 20)
NODES = [NodeId(f"{number:040x}") for number in range(1, 9)]
KEYS = [bytes([number]) * 20 for number in (1, 80, 200)]


def signed(
    node: NodeId, seq: int, *, key: bytes = KEYS[0], ttl: float = 100.0, body: bytes = b"x"
) -> SignedDhtRecord:
    record = DhtRecord("model", key, node, seq, 0.0, ttl, body)
    return SignedDhtRecord(record, f"{node}{seq}".encode())


def pages(store: RecordStore, key: bytes, now: float, *, limit: int) -> list[NodeId]:
    found: list[NodeId] = []
    after: NodeId | None = None
    while True:
        page = store.page(key, now, after=after, limit=limit)
        found.extend(each.record.node for _, each in page.items)
        if not page.more:
            return found
        after = found[-1]


def test_of_two_records_of_a_node_the_higher_seq_stays_whatever_came_last() -> None:
    store = RecordStore(OWN)
    assert store.put(signed(NODES[0], 5), 50, NODES[0], 0) == "new"
    assert store.put(signed(NODES[0], 4), 50, NODES[1], 1) == "older"
    assert store.put(signed(NODES[0], 6), 50, NODES[1], 2) == "newer"
    (item,) = store.page(KEYS[0], 3, limit=9).items
    assert item[1].record.seq == 6


def test_records_of_different_nodes_stand_beside_each_other() -> None:
    store = RecordStore(OWN)
    for node in NODES:
        store.put(signed(node, 1), 50, node, 0)
    assert pages(store, KEYS[0], 1, limit=3) == NODES


def test_nothing_outlives_its_signed_ttl_however_often_it_is_handed_on() -> None:
    store = RecordStore(OWN)
    store.put(signed(NODES[0], 1, ttl=100), 10_000, NODES[0], 0)
    for now in range(0, 100, 10):
        assert store.put(signed(NODES[0], 1, ttl=100), 10_000, NODES[1], now) == "same"
    assert pages(store, KEYS[0], 99.9, limit=9) == [NODES[0]]
    assert pages(store, KEYS[0], 100, limit=9) == []


def test_what_died_does_not_come_back_unless_it_is_newer() -> None:
    store = RecordStore(OWN)
    store.put(signed(NODES[0], 7), 10, NODES[0], 0)
    assert store.expire(10) == 1
    assert store.put(signed(NODES[0], 7), 50, NODES[0], 11) == "older"
    assert store.put(signed(NODES[0], 8), 50, NODES[0], 11) == "new"


def test_the_remaining_time_is_passed_on_not_the_whole() -> None:
    store = RecordStore(OWN)
    store.put(signed(NODES[0], 1, ttl=100), 60, NODES[0], 0)
    ((remaining, _),) = store.page(KEYS[0], 20, limit=1).items
    assert remaining == 40


def test_a_full_key_takes_no_more_until_some_died() -> None:
    store = RecordStore(OWN, most_per_key=3)
    for node in NODES[:3]:
        store.put(signed(node, 1), 10, node, 0)
    assert store.put(signed(NODES[3], 1), 10, NODES[3], 5) == "full"
    assert store.put(signed(NODES[0], 2), 50, NODES[0], 5) == "newer"
    assert store.put(signed(NODES[3], 1), 10, NODES[3], 11) == "new"


def test_one_origin_cannot_fill_the_store() -> None:
    store = RecordStore(OWN)
    keys = [number.to_bytes(20, "big") for number in range(MAX_PER_ORIGIN + 10)]
    verdicts = [store.put(signed(NODES[0], 1, key=key), 10, NODES[1], 0) for key in keys]
    assert verdicts.count("new") == MAX_PER_ORIGIN
    assert store.put(signed(NODES[2], 1, key=keys[0]), 10, NODES[2], 0) == "new"


def test_a_full_store_keeps_what_is_nearest_to_it() -> None:
    store = RecordStore(OWN, most=4)
    for number in (10, 20, 30, 40):
        store.put(signed(NODES[0], 1, key=bytes([number]) * 20), 50, NODES[0], 0)
    assert store.put(signed(NODES[1], 1, key=bytes([50]) * 20), 50, NODES[1], 1) == "full"
    assert store.put(signed(NODES[1], 1, key=bytes([5]) * 20), 50, NODES[1], 1) == "new"
    assert pages(store, bytes([40]) * 20, 2, limit=9) == []
    assert len(store) == 4


def test_equal_sets_have_equal_hashes_and_others_do_not() -> None:
    one, other = RecordStore(OWN), RecordStore(NODES[7])
    for node in NODES[:4]:
        one.put(signed(node, 1), 10, node, 0)
    for node in reversed(NODES[:4]):
        other.put(signed(node, 1), 20, node, 3)
    assert one.page(KEYS[0], 4, limit=1).set_hash == other.page(KEYS[0], 4, limit=9).set_hash
    other.put(signed(NODES[0], 2), 20, NODES[0], 5)
    assert one.page(KEYS[0], 6, limit=1).set_hash != other.page(KEYS[0], 6, limit=1).set_hash


def test_a_thousand_providers_come_back_in_pages() -> None:
    store = RecordStore(OWN)
    nodes = sorted(NodeId(f"{number * 7919:040x}") for number in range(1000))
    for node in nodes:
        assert store.put(signed(node, 1), 50, node, 0) == "new"
    assert pages(store, KEYS[0], 1, limit=37) == nodes


def test_from_any_start_a_round_finds_what_there_is() -> None:
    store = RecordStore(OWN)
    for node in NODES:
        store.put(signed(node, 1), 50, node, 0)
    for start in range(10):
        page = store.page(KEYS[0], 1, after=NodeId(f"{start:040x}"), limit=20, around=True)
        assert len(page.items) == len(NODES)
        assert not page.more
        few = store.page(KEYS[0], 1, after=NodeId(f"{start:040x}"), limit=3, around=True)
        assert [each for _, each in few.items] == [each for _, each in page.items[:3]]
        assert few.more


@dataclass
class Told:
    """What the model of the store remembers of one (key, node)."""

    seq: int
    first_seen: float
    expires: float
    floor: int = -1
    alive: bool = True
    signed: SignedDhtRecord | None = field(default=None)


class StoreMachine(RuleBasedStateMachine):
    """Any order of storing and waiting agrees with a store that forgets and bounds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.store = RecordStore(OWN)
        self.now = 0.0
        self.told: dict[tuple[bytes, NodeId], Told] = {}

    @rule(
        key=st.sampled_from(KEYS),
        node=st.sampled_from(NODES),
        seq=st.integers(0, 6),
        remaining=st.floats(0.5, 200),
        storer=st.sampled_from(NODES),
    )
    def put(self, key: bytes, node: NodeId, seq: int, remaining: float, storer: NodeId) -> None:
        self.store.expire(self.now)
        self._expire()
        verdict = self.store.put(signed(node, seq, key=key), remaining, storer, self.now)
        lives = self.now + min(remaining, 100.0)
        told = self.told.get((key, node))
        if told is None or (not told.alive and seq > told.seq):
            assert verdict == "new"
            self.told[key, node] = Told(seq, self.now, lives)
        elif not told.alive or seq < told.seq:
            assert verdict == "older"
        elif seq == told.seq:
            assert verdict == "same"
            longer = max(told.expires, self.now + remaining)
            told.expires = min(told.first_seen + 100.0, longer)
        else:
            assert verdict == "newer"
            self.told[key, node] = Told(seq, self.now, lives)

    @rule(seconds=st.floats(0, 80))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def pages_hold_exactly_the_living(self) -> None:
        self._expire()
        for key in KEYS:
            expected = sorted(n for (k, n), told in self.told.items() if k == key and told.alive)
            assert pages(self.store, key, self.now, limit=2) == expected

    def _expire(self) -> None:
        for told in self.told.values():
            told.alive = told.alive and told.expires > self.now


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
