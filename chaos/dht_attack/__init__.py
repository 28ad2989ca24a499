"""Attacks on the distributed table, in virtual time: `python -m chaos.dht_attack`."""
