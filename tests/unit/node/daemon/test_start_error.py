"""Refusals of the operating system as sentences that name the setting."""

from __future__ import annotations

import errno
import os

import pytest

from node.config import load_config
from node.start_error import explain_start_error

CONFIG = load_config(
    {"data_dir": "/d", "http": "localhost:7717", "mesh": "0.0.0.0:7718"}, environ={}
)


def bind_error(number: int, host: str, port: int) -> OSError:
    words = f"error while attempting to bind on address ({host!r}, {port}): {os.strerror(number)}"
    return OSError(number, words)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (bind_error(errno.EADDRINUSE, "127.0.0.1", 7717), "--http localhost:7717 is in use by"),
        (bind_error(errno.EADDRINUSE, "0.0.0.0", 7718), "--mesh 0.0.0.0:7718 is in use by"),
        (bind_error(errno.EACCES, "0.0.0.0", 7718), "--mesh 0.0.0.0:7718 may not be opened by"),
        (
            OSError(errno.EADDRINUSE, "in use"),
            "--http localhost:7717 or --mesh 0.0.0.0:7718 is in use by another program",
        ),
        (OSError(errno.EADDRNOTAVAIL, "x"), "is not an address of this machine"),
        (OSError(errno.EACCES, "denied", "/d/node.key"), "/d/node.key may not be opened by"),
        (OSError(errno.ENOSPC, "full"), "the disk that holds /d is full"),
        (OSError(errno.EMFILE, "many"), "too many open files"),
        (OSError(errno.EIO, "broken cable"), "could not start: broken cable"),
        (OSError("odd"), "could not start: odd"),
    ],
)
def test_each_refusal_says_what_to_change(error: OSError, words: str) -> None:
    assert words in str(explain_start_error(error, CONFIG))
