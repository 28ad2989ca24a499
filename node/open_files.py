"""How many files this process may open: each connection is one."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource

WANTED = 16_384
"""Links, clients and engines with room to spare; the usual 1,024 are gone with a crowd."""


def raise_limit(wanted: int = WANTED) -> None:
    """Take what the system's hard limit allows, up to `wanted`; never less than before."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
