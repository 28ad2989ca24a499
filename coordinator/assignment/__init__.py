"""Which node runs which service."""
