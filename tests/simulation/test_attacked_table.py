"""Attacks on the table in small: with the defences look-ups succeed, without them they do not."""

from __future__ import annotations

from chaos.dht_attack.flood import FORGERIES, flood
from chaos.dht_attack.stories import ATTACKS, Attack, Size, run
from dht.defences import NONE, OPEN

SMALL = Size(nodes=50, providers=3, askers=6, lookups=15)
LEAST = 90.0
"""Per cent: of 15 look-ups one may fail, where hundreds would show the real share."""


def attack(name: str) -> Attack:
    return next(each for each in ATTACKS if each.name == name)


def test_a_crowd_around_a_key_does_not_hide_it() -> None:
    assert run(attack("40 % around the key, a botnet"), SMALL, OPEN)["succeeded_percent"] >= LEAST


def test_one_provider_neither_hides_a_key_nor_fills_a_bucket() -> None:
    report = run(attack("20 % around the key from one provider"), SMALL, OPEN)
    assert report["succeeded_percent"] >= LEAST
    assert report["most_hostile_of_a_24_in_a_bucket"] <= 2


def test_the_same_crowd_hides_it_without_defences() -> None:
    report = run(attack("40 % around the key, a botnet"), SMALL, NONE)
    assert report["succeeded_percent"] <= 50.0


def test_the_same_provider_fills_a_bucket_without_defences() -> None:
    report = run(attack("20 % around the key from one provider"), SMALL, NONE)
    assert report["most_hostile_of_a_24_in_a_bucket"] > 2


def test_liars_who_offer_the_model_themselves_do_not_end_the_search() -> None:
    liars, size = attack("random 40 %, decoys"), Size(60, providers=4, askers=8, lookups=32)
    defended, bare = (run(liars, size, each, seed=2) for each in (OPEN, NONE))
    assert defended["succeeded_percent"] >= LEAST
    assert bare["succeeded_percent"] < LEAST


def test_no_forged_or_replayed_record_is_held() -> None:
    report = flood(len(FORGERIES) * 20, burst=0)
    assert report["accepted"] == report["held_after"] == 0
    assert report["honest_held"]


def test_the_same_flood_gets_in_without_defences() -> None:
    assert flood(len(FORGERIES) * 4, NONE, burst=0)["accepted"] > 0
