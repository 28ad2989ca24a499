"""Renews this node's grant unattended: at two thirds of its life, then again and again until done.

The rule is pure; the service around it asks, keeps and sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from mesh.admission import AdmissionRefused
from mesh.clock import Clock
from mesh.errors import StorageError
from mesh.identity.grants import Grant

log = logging.getLogger(__name__)

SHARE = 2 / 3
"""Of a grant's life after which the next one is asked for."""
FIRST_RETRY, MOST_RETRY = 5.0, 1800.0
"""Seconds between attempts; doubled from first to most, and spread by chance."""
LOST_RETRY = 3600.0
"""Seconds between attempts once the mesh has said no: its owner may change that."""
LEAST = 1.0
LOOK = 600.0
"""Seconds of one sleep: the wall clock may be set meanwhile, or the machine sleep."""


@dataclass(frozen=True, slots=True)
class Held:
    """The grant that is to be renewed, and since when this node has it (Unix seconds)."""

    grant: Grant
    since: float


def renewal_due(held: Held) -> float:
    """When to ask for the next grant, Unix seconds."""
    return held.since + SHARE * max(0.0, held.grant.not_after - held.since)


def retry_after(failures: int, *, final: bool, rng: Random) -> float:
    """Seconds until the next attempt. `final`: the mesh refused, rather than not answered."""
    if final:
        return LOST_RETRY
    patience: float = min(MOST_RETRY, FIRST_RETRY * 2 ** min(failures - 1, 20))
    return patience * rng.uniform(0.75, 1.25)


class Renewing:
    """One per node that joined by a ticket."""

    def __init__(
        self,
        held: Held,
        *,
        ask: Callable[[], Awaitable[Grant]],
        keep: Callable[[Grant], None],
        clock: Clock,
        rng: Random,
    ) -> None:
        """`ask` raises AdmissionRefused; `keep` stores a new grant and may raise StorageError."""
        self._held = held
        self._ask = ask
        self._keep = keep
        self._clock = clock
        self._rng = rng
        self._failures = 0
        self._refusal = ""
        self._refused_for_good = False
        self._hurry = asyncio.Event()

    def wake(self) -> None:
        """Ask at once: the grant counts no more."""
        self._hurry.set()

    @property
    def held(self) -> Held:
        """The latest grant."""
        return self._held

    def note(self) -> str:
        """What the owner should know; "" when all is well."""
        if not self._refusal:
            return ""
        ended = self._clock.wall() > self._held.grant.not_after
        state = "has ended" if ended else "will end"
        return f"this node's grant {state} and was not renewed: {self._refusal}"

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            await self._sleep_until(renewal_due(self._held))
            while not await self._renew():
                final = self._refused_for_good
                pause = retry_after(self._failures, final=final, rng=self._rng)
                await self._sleep_until(self._clock.wall() + pause)

    async def _renew(self) -> bool:
        try:
            grant = await self._ask()
            self._keep(grant)
        except (AdmissionRefused, StorageError) as error:
            self._failures += 1
            self._refused_for_good = _is_final(error)
            self._refusal = str(error)
            log.warning("the grant was not renewed, attempt %d: %s", self._failures, error)
            return False
        self._held = Held(grant, self._clock.wall())
        self._failures, self._refusal = 0, ""
        log.info("the grant was renewed serial=%s", grant.serial)
        return True

    async def _sleep_until(self, wall: float) -> None:
        while (left := wall - self._clock.wall()) > 0 and not self._hurry.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(left, LEAST), LOOK)):
                    await self._hurry.wait()
        self._hurry.clear()


def _is_final(error: Exception) -> bool:
    return isinstance(error, AdmissionRefused) and error.code in ("revoked", "not_member")
