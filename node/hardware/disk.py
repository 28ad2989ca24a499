"""Room on the file system of the data folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from node.hardware.hardware import Disk


def probe_disk(data_dir: Path) -> Disk:
    """Total and free bytes where `data_dir` is or would be made. Raises OSError."""
    path = data_dir.absolute()
    existing = next((place for place in (path, *path.parents) if place.exists()), path)
    usage = shutil.disk_usage(existing)
    return Disk(path=str(path), total=usage.total, free=usage.free)
