"""Where pipes arrive that were told to come: each brings a token that is good once and soon."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from mesh.links.pipe import Pipe
from mesh.wire.relay import TOKEN_BYTES

RENDEZVOUS_SECONDS = 8.0
"""From giving a token out until its pipe must have come."""
MAX_AWAITED = 4_096
"""Tokens that are out at once; one costs about 300 bytes."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What happens to a pipe when it comes, or when it does not."""

    arrived: Callable[[Pipe, bytes], None]
    """Gets the pipe and what it brought behind the preamble; must attach a receiver at once."""
    missing: Callable[[], None]
    timer: asyncio.TimerHandle


class Rendezvous:
    """Gives out tokens, and hands each pipe to who awaits it."""

    def __init__(self, *, seconds: float = RENDEZVOUS_SECONDS, most: int = MAX_AWAITED) -> None:
        self._seconds = seconds
        self._most = most
        self._awaited: dict[bytes, Awaited] = {}

    def __len__(self) -> int:
        return len(self._awaited)

    @property
    def full(self) -> bool:
        """No more tokens can be given out now."""
        return len(self._awaited) >= self._most

    def expect(self, arrived: Callable[[Pipe, bytes], None], missing: Callable[[], None]) -> bytes:
        """A new token. Exactly one of both is called once, unless `forget` comes before."""
        token = secrets.token_bytes(TOKEN_BYTES)
        timer = asyncio.get_running_loop().call_later(self._seconds, self._miss, token)
        self._awaited[token] = Awaited(arrived, missing, timer)
        return token

    def forget(self, token: bytes) -> None:
        """Whoever comes with this token is turned away."""
        awaited = self._awaited.pop(token, None)
        if awaited is not None:
            awaited.timer.cancel()

    def bring(self, token: bytes, pipe: Pipe, rest: bytes) -> bool:
        """A pipe has come with a token. False when nobody awaits it: it is the caller's to end.

        A token is 128 random bits: looking it up tells an attacker nothing that he could use.
        """
        awaited = self._awaited.pop(token, None)
        if awaited is None:
            return False
        awaited.timer.cancel()
        awaited.arrived(pipe, rest)
        return True

    def close(self) -> None:
        """Await nobody any more."""
        for token in list(self._awaited):
            self._miss(token)

    def _miss(self, token: bytes) -> None:
        awaited = self._awaited.pop(token, None)
        if awaited is not None:
            awaited.timer.cancel()
            awaited.missing()
