"""The consensus core under a seeded network, disk and clock that do their worst.

`python -m chaos.consensus --seeds 10000` runs as many episodes and prints the seeds that fail.
"""
