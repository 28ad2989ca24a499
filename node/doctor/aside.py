"""Blocking work on threads that nobody waits for: a resolver or a driver may hang for minutes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class LooseExecutor(ThreadPoolExecutor):
    """A thread for each piece of work, which neither the loop's end nor the program's waits for."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As `Executor.submit`."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="doctor", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: what still hangs ends with the process."""


LOOSE = LooseExecutor()


async def aside(work: Callable[[], T]) -> T:
    """What `work` returns or raises. Cancelling stops the waiting, not the work."""
    return await asyncio.get_running_loop().run_in_executor(LOOSE, work)


def run_loosely(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run`, which does not wait at its end for names that are still being looked up."""

    async def loosely() -> T:
        asyncio.get_running_loop().set_default_executor(LOOSE)
        return await main()

    return asyncio.run(loosely())
