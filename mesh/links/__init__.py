"""Mutually authenticated, multiplexed links between nodes."""
