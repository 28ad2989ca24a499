"""The mesh said no."""

from __future__ import annotations

from mesh.errors import ElectronsError


class NotAdmitted(ElectronsError):
    """A ticket or a renewal was refused for good. The text says why."""
