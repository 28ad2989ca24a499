"""The error of commands that need a running node."""

from __future__ import annotations

from mesh.errors import ElectronsError


class NoDaemon(ElectronsError):
    """There is no running node to ask."""
