"""The roll of providers: drawn evenly, in step with a plain dictionary."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from dht.roll import Roll
from mesh.capability import ModelRef, NodeRecord, Peer, ServedModel
from mesh.ids import NodeId
from mesh.ports import Provider


def provider(number: int, seq: int = 1) -> Provider:
    record = NodeRecord(NodeId(f"{number:040x}"), seq, 0.0, 60.0)
    return Provider(Peer(record), ServedModel(ModelRef("m", "test"), 1))


@pytest.mark.parametrize("seed", range(20))
def test_it_holds_what_a_dictionary_would(seed: int) -> None:
    print(f"seed {seed}")
    rng, roll = Random(seed), Roll()
    plain: dict[NodeId, Provider] = {}
    for step in range(300):
        one = provider(rng.randrange(30), step)
        node = one.peer.record.node_id
        if node in plain and rng.random() < 0.5:
            roll.remove(node)
            del plain[node]
        else:
            roll.put(node, one)
            plain[node] = one
        assert len(roll) == len(plain)
        assert Counter(map(id, roll.all())) == Counter(map(id, plain.values()))
        assert all(roll.get(each) is plain[each] for each in plain)
        drawn = roll.draw(8, rng)
        assert len(drawn) <= 8
        assert all(plain[each.peer.record.node_id] is each for each in drawn)


def test_everybody_is_as_likely_to_be_drawn() -> None:
    roll, rng = Roll(), Random(7)
    for number in range(50):
        roll.put(provider(number).peer.record.node_id, provider(number))
    seen: Counter[NodeId] = Counter()
    for _ in range(2_000):
        drawn = [each.peer.record.node_id for each in roll.draw(10, rng)]
        assert len(set(drawn)) == len(drawn)
        seen.update(drawn)
    fair = sum(seen.values()) / 50
    assert 0.8 * fair < min(seen.values()) <= max(seen.values()) < 1.2 * fair


def test_striking_who_is_not_there_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Roll().remove(provider(1).peer.record.node_id)
    assert Roll().get(provider(1).peer.record.node_id) is None
    assert Roll().draw(3, Random(1)) == []
