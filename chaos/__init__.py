"""Harm on purpose: kills, freezes, cuts and updates under load, each one command."""
