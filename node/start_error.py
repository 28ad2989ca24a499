"""Turns the operating system's refusals at start into sentences."""

from __future__ import annotations

import errno
import re

from mesh.errors import ElectronsError
from node.config import Config
from node.config_addresses import Address

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StartError(ElectronsError):
    """The node could not start. The text names the setting to change."""


def explain_start_error(error: OSError, config: Config) -> StartError:
    """What went wrong and what to do, for an OSError out of `Node.start`."""
    if error.errno in NO_ROOM:
        return StartError(f"the disk that holds {config.data_dir} is full: free some space on it")
    which = _address_of(error, config)
    match error.errno:
        case errno.EADDRINUSE:
            return StartError(
                f"{which} is in use by another program: choose another port, or 0 for any free one"
            )
        case errno.EADDRNOTAVAIL:
            return StartError(f"{which} is not an address of this machine: choose one that is")
        case errno.EACCES | errno.EPERM if error.filename is not None:
            return StartError(f"{error.filename} may not be opened by this user: mend its owner")
        case errno.EACCES | errno.EPERM:
            return StartError(f"{which} may not be opened by this user: choose a port from 1024 on")
        case errno.EMFILE | errno.ENFILE:
            return StartError("too many open files: raise the limit, see 'ulimit -n'")
    return StartError(f"the node could not start: {error.strerror or error}")


def _address_of(error: OSError, config: Config) -> str:
    """The flag and address the error is about; both where it does not say.

    asyncio words it "... bind on address ('127.0.0.1', 7717): ...".
    """
    named = re.search(r"\('([^']*)', (\d+)", str(error))
    settings = {"--http": config.http, "--mesh": config.mesh}
    if named:
        for flag, address in settings.items():
            if _means(address, named[1], int(named[2])):
                return f"{flag} {address}"
    return " or ".join(f"{flag} {address}" for flag, address in settings.items())


def _means(address: Address, host: str, port: int) -> bool:
    return address.port == port and (address.host in (host, "localhost") or not _is_number(address))


def _is_number(address: Address) -> bool:
    return address.host.replace(".", "").isdigit() or ":" in address.host
