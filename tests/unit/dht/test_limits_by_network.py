"""What a holder does for one network, however many identities it has."""

from __future__ import annotations

from dht.counters import DhtCounters
from dht.networks import network_of
from dht.storage import RecordStore
from dht.table_server import REQUEST_BURST, STORE_BURST, TableServer
from mesh.ids import MeshId, NodeId
from mesh.wire import dht
from mesh.wire.dht_records import DhtRecord, SignedDhtRecord

OWN = NodeId("00" * 20)
CROWD = network_of("tcp://45.83.1.1:1")
OTHER = network_of("tcp://9.9.9.9:1")
KEY = b"\1" * 20


class StandingClock:
    def now(self) -> float:
        return 5.0

    def wall(self) -> float:
        return 1.7e9


def server() -> TableServer:
    made = TableServer(
        own=OWN, mesh_id=MeshId("ab" * 20), clock=StandingClock(), counters=DhtCounters()
    )
    made.me = dht.Self(True, ("tcp://1.2.3.4:1",))
    return made


def node(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


def signed(number: int, seq: int = 1) -> SignedDhtRecord:
    record = DhtRecord("model", KEY, node(number), seq, 0.0, 900.0, b"x")
    return SignedDhtRecord(record, b"")


def test_a_thousand_identities_of_one_network_ask_no_more_than_a_few() -> None:
    one = server()
    granted = sum(one.may_ask(node(number % 1000), CROWD) for number in range(10_000))
    assert granted == 8 * REQUEST_BURST
    assert one.may_ask(node(1), OTHER)
    assert one.may_ask(node(1), None)


def test_records_of_one_network_are_checked_within_its_share() -> None:
    one = server()
    junk = dht.Store(dht.Self(), tuple((9.0, b"junk") for _ in range(20)))
    checked = 0
    for number in range(200):
        before = one._network_stores._left("45.83.1.0/24", 5.0)
        one.answer(node(number), junk, CROWD)
        checked += int(before - one._network_stores._left("45.83.1.0/24", 5.0))
    assert checked == 2 * STORE_BURST


def test_a_key_crowded_by_one_network_still_has_room_for_others() -> None:
    store = RecordStore(OWN, most_per_key=10)
    for number in range(1, 11):
        assert store.put(signed(number), 900, node(number), number, network="45.83") == "new"
    assert store.put(signed(20), 900, node(20), 20, network="45.83") == "full"
    others = [
        store.put(signed(number), 900, node(number), 30, network=network)
        for number, network in ((30, "9.9"), (31, "9.8"), (32, ""), (33, "9.9"))
    ]
    assert others == ["new"] * 4
    assert len(store) == 10
    kept = {each.node for each in store.records()}
    assert {node(number) for number in (1, 2, 3, 30, 31, 32, 33)} <= kept


def test_networks_share_a_full_key_evenly_in_the_end() -> None:
    store = RecordStore(OWN, most_per_key=4)
    for number, network in enumerate(("a", "a", "b", "b", "c", "c"), start=1):
        store.put(signed(number), 900, node(number), number, network=network)
    assert store.put(signed(9), 900, node(9), 9, network="a") == "full"
    assert len(store) == 4
