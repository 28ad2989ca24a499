"""An attempt always ends: its reader is never left waiting, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest

from mesh.errors import LinkClosed, StreamReset
from mesh.ids import JobId, NodeId
from mesh.jobs import Chunk, Finish, JobSpec
from mesh.lifecycle import Tasks
from mesh.wire.jobs import (
    BODY_PART,
    RESET_CANCELLED,
    Accept,
    Fail,
    Finished,
    Offer,
    Refuse,
    WorkerMessage,
    encode,
)
from node.dispatch.attempt import LOCAL_BUFFER, LocalAttempt, RemoteAttempt
from services.host import Host

OFFER = Offer(
    JobId("0" * 32), 1, NodeId("a" * 40), "tenant", "public", 0, 30.0, 1, JobSpec("chat", "m")
)
BODY = b"x" * (3 * BODY_PART)
Send = Callable[[WorkerMessage], Awaitable[None]]


class ScriptedHost:
    """Sends `count` chunks, then waits if `hold`, then breaks in a way nobody foresaw."""

    def __init__(self, count: int, *, hold: bool = False) -> None:
        self._count = count
        self._hold = hold

    async def execute(self, offer: Offer, send: Send) -> None:
        for number in range(self._count):
            await send(Chunk(str(number)))
        if self._hold:
            await asyncio.Event().wait()
        raise ZeroDivisionError


class StalledStream:
    """The worker's messages are there; it gives credit for `credit` messages and no more."""

    def __init__(self, *messages: WorkerMessage, credit: int) -> None:
        self._messages = [encode(message) for message in messages]
        self._credit = credit
        self.stalled = asyncio.Event()
        self.sent = 0
        self.finished = False
        self.resets: list[int] = []

    async def send(self, message: bytes) -> None:
        if self.resets:
            raise StreamReset(self.resets[0], "reset")
        if self.sent >= self._credit:
            self.stalled.set()
            await asyncio.Event().wait()
        self.sent += 1

    async def receive(self) -> bytes | None:
        return self._messages.pop(0) if self._messages else None

    def finish(self) -> None:
        self.finished = True

    def reset(self, code: int = 0, reason: str = "") -> None:
        self.resets.append(code)

    def on_failure(self, callback: Callable[[], object]) -> None:
        """Nothing fails here."""


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    owner = Tasks("test")
    yield owner
    await owner.close()


async def until_gone(tasks: Tasks) -> None:
    async with asyncio.timeout(5):
        while len(tasks):
            await asyncio.sleep(0)


def local(tasks: Tasks, host: ScriptedHost) -> LocalAttempt:
    return LocalAttempt(cast(Host, host), OFFER, tasks)


@pytest.mark.parametrize("count", [0, 1, LOCAL_BUFFER, LOCAL_BUFFER + 1])
@pytest.mark.parametrize("late", [False, True])
async def test_a_crash_of_the_host_ends_the_attempt(tasks: Tasks, count: int, late: bool) -> None:
    attempt = local(tasks, ScriptedHost(count))
    if late and count <= LOCAL_BUFFER:
        await until_gone(tasks)
    async with asyncio.timeout(5):
        for number in range(count):
            assert await attempt.receive() == Chunk(str(number))
        for _ in range(2):  # asking again does not hang either
            with pytest.raises(LinkClosed):
                await attempt.receive()


@pytest.mark.parametrize("steps", [0, 1, 3])
async def test_cancelling_wakes_a_waiting_reader(tasks: Tasks, steps: int) -> None:
    attempt = local(tasks, ScriptedHost(0, hold=True))
    for _ in range(steps):
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(attempt.cancel)
    async with asyncio.timeout(5):
        with pytest.raises(LinkClosed):
            await attempt.receive()


@pytest.mark.parametrize("end", [Finished(Finish()), Fail("x", "x"), Refuse("busy", "x")])
async def test_the_end_of_the_job_stops_a_stalled_upload(tasks: Tasks, end: WorkerMessage) -> None:
    stream = StalledStream(Accept(1, 0, 1), end, credit=1)
    attempt = RemoteAttempt(stream, BODY, tasks)
    assert isinstance(await attempt.receive(), Accept)
    await stream.stalled.wait()
    assert await attempt.receive() == end
    await until_gone(tasks)
    assert stream.resets == [RESET_CANCELLED]
    assert not stream.finished


async def test_cancelling_stops_a_stalled_upload(tasks: Tasks) -> None:
    stream = StalledStream(Accept(1, 0, 1), credit=1)
    attempt = RemoteAttempt(stream, BODY, tasks)
    await attempt.receive()
    await stream.stalled.wait()
    attempt.cancel()
    await until_gone(tasks)
    assert stream.resets == [RESET_CANCELLED]


async def test_an_upload_that_is_through_leaves_the_stream_alone(tasks: Tasks) -> None:
    stream = StalledStream(Accept(1, 0, 1), Finished(Finish()), credit=9)
    attempt = RemoteAttempt(stream, BODY, tasks)
    await attempt.receive()
    await until_gone(tasks)
    assert isinstance(await attempt.receive(), Finished)
    assert (stream.sent, stream.finished, stream.resets) == (3, True, [])


async def test_cancelling_lets_go_what_waits_for_room(tasks: Tasks) -> None:
    attempt = local(tasks, ScriptedHost(LOCAL_BUFFER + 1))
    async with asyncio.timeout(5):
        while not attempt._messages.full():
            await asyncio.sleep(0)
    tasks.spawn(attempt._messages.put(Accept(1, 0, 1)), "sign of life")
    await asyncio.sleep(0)
    attempt.cancel()
    await until_gone(tasks)
