"""Runs all checks at once and hands out each finding as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from mesh.lifecycle import Tasks
from node.doctor.finding import Finding, warning
from node.doctor.patient import Patient

Examine = Callable[[Patient], Awaitable[Sequence[Finding]]]

CHECK_SECONDS = 8.0
"""For one check, whatever hangs behind it."""
TOTAL_SECONDS = 14.0
"""For all of them, which run at the same time."""


@dataclass(frozen=True, slots=True)
class Check:
    """One area and who looks at it."""

    area: str
    examine: Examine
    seconds: float = CHECK_SECONDS


@dataclass(frozen=True, slots=True)
class Examined:
    """A check that is over."""

    check: Check
    findings: tuple[Finding, ...]


async def run_check(check: Check, patient: Patient) -> tuple[Finding, ...]:
    """Its findings; one that says so when it took too long or broke."""
    try:
        async with asyncio.timeout(check.seconds):
            return tuple(await check.examine(patient))
    except TimeoutError:
        what = f"This check did not finish within {check.seconds:g} s"
        cure = "run the doctor again; if it stays so, something behind it hangs"
        return (warning(check.area, what, cure),)
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        what = f"This check itself broke ({type(error).__name__})"
        return (warning(check.area, what, "please report it with the line below", error),)


async def examine_all(
    patient: Patient, checks: Sequence[Check], *, seconds: float = TOTAL_SECONDS
) -> AsyncIterator[Examined]:
    """Each check as it finishes; of those that took too long one warning says so."""
    tasks = Tasks("doctor")
    running: Mapping[asyncio.Task[tuple[Finding, ...]], Check] = {
        tasks.spawn(run_check(check, patient), check.area): check for check in checks
    }
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    waiting = set(running)
    try:
        while waiting:
            left = max(0.0, until - loop.time())
            done, waiting = await asyncio.wait(
                waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            for task in sorted(done, key=list(running).index):
                yield Examined(running[task], task.result())
            if not done:
                break
        for task in waiting:
            what = f"This check was cut off after {seconds:g} s"
            check = running[task]
            yield Examined(check, (warning(check.area, what, "run the doctor again"),))
    finally:
        await tasks.close()
