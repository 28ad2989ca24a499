"""What every story of the group needs."""

from tests.simulation.group.one_thread import one_thread

__all__ = ["one_thread"]
