"""Virtual time, as the experiments in chaos/ use it too."""

from chaos.virtual_time import VirtualLoop, run_virtual

__all__ = ["VirtualLoop", "run_virtual"]
