"""What every implementation of `mesh.ports.Links` promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mesh.errors import DialError, LinkClosed, StreamReset, WireError
from mesh.ports import Link, Priority, Stream, StreamKind
from mesh.wire.frames import INITIAL_CREDIT, MAX_MESSAGE, MAX_UNSENT_STREAM, ResetCode

MakeNode = Callable[[], Awaitable[Any]]


async def echo(link: Link, stream: Stream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message)


async def pair(make_node: MakeNode) -> tuple[Any, Any, Link]:
    a, b = await make_node(), await make_node()
    link = await a.links.connect(b.node_id, b.addresses)
    return a, b, link


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_link_names_the_peer_at_both_ends(make_node: MakeNode) -> None:
    a, b, link = await pair(make_node)
    assert link.peer == b.node_id
    await eventually(lambda: b.links.get(a.node_id) is not None)
    assert b.links.get(a.node_id).peer == a.node_id
    assert link.roles == ("worker", "gateway")
    assert not link.closed
    await eventually(lambda: link.rtt is not None)


async def test_a_link_tells_where_its_peer_is(make_node: MakeNode) -> None:
    _, _, link = await pair(make_node)
    assert "://" in link.remote
    assert not link.relayed


async def test_connect_returns_the_live_link(make_node: MakeNode) -> None:
    a, b, link = await pair(make_node)
    assert await a.links.connect(b.node_id, b.addresses) is link
    assert list(a.links.all()) == [link]


async def test_connect_by_address_alone(make_node: MakeNode) -> None:
    a, b = await make_node(), await make_node()
    link = await a.links.connect(None, b.addresses)
    assert link.peer == b.node_id


async def test_connect_to_nobody_says_so(make_node: MakeNode) -> None:
    a, b = await make_node(), await make_node()
    await b.close()
    with pytest.raises(DialError):
        await a.links.connect("1" * 40, b.addresses, timeout=1.0)
    with pytest.raises(DialError):
        await a.links.connect("1" * 40, [], timeout=1.0)


async def test_connect_rejects_another_node_at_the_address(make_node: MakeNode) -> None:
    a, b = await make_node(), await make_node()
    with pytest.raises(DialError):
        await a.links.connect("1" * 40, b.addresses, timeout=1.0)
    assert list(a.links.all()) == []


async def test_dialling_oneself_is_an_error(make_node: MakeNode) -> None:
    a = await make_node()
    with pytest.raises(DialError, match="itself"):
        await a.links.connect(None, a.addresses, timeout=1.0)


async def test_messages_come_in_order_and_whole(make_node: MakeNode) -> None:
    _, b, link = await pair(make_node)
    b.links.serve(StreamKind.JOB, echo)
    stream = link.open(StreamKind.JOB)
    messages = [b"", b"a", b"b" * 20_000, b"c" * MAX_MESSAGE, b"last"]

    for message in messages:
        await stream.send(message)
        assert await stream.receive() == message
    stream.finish()
    assert await stream.receive() is None


async def test_either_end_opens_streams(make_node: MakeNode) -> None:
    a, b, link = await pair(make_node)
    a.links.serve(StreamKind.DHT, echo)
    b.links.serve(StreamKind.DHT, echo)
    await eventually(lambda: b.links.get(a.node_id) is not None)
    back = b.links.get(a.node_id)
    answers = await asyncio.gather(
        link.call(StreamKind.DHT, b"there", timeout=2), back.call(StreamKind.DHT, b"b", timeout=2)
    )
    assert list(answers) == [b"there", b"b"]


async def test_half_close_leaves_the_other_direction(make_node: MakeNode) -> None:
    _, b, link = await pair(make_node)

    async def count_then_answer(link: Link, stream: Stream) -> None:
        count = 0
        while await stream.receive() is not None:
            count += 1
        await stream.send(str(count).encode())

    b.links.serve(StreamKind.BLOB, count_then_answer)
    stream = link.open(StreamKind.BLOB, priority=Priority.BULK)
    for _ in range(5):
        await stream.send(b"x")
    stream.finish()
    assert await stream.receive() == b"5"
    assert await stream.receive() is None


async def test_sending_after_finish_or_too_much_is_an_error(make_node: MakeNode) -> None:
    _, _, link = await pair(make_node)
    stream = link.open(StreamKind.JOB)
    with pytest.raises(WireError):
        await stream.send(b"x" * (MAX_MESSAGE + 1))
    stream.finish()
    with pytest.raises(StreamReset):
        await stream.send(b"x")


async def test_reset_reaches_the_peer_with_code_and_reason(make_node: MakeNode) -> None:
    _, b, link = await pair(make_node)
    seen: asyncio.Future[StreamReset] = asyncio.get_running_loop().create_future()

    async def watch(link: Link, stream: Stream) -> None:
        await stream.send(b"ready")
        try:
            await stream.receive()
        except StreamReset as error:
            seen.set_result(error)

    b.links.serve(StreamKind.JOB, watch)
    stream = link.open(StreamKind.JOB)
    assert await stream.receive() == b"ready"
    stream.reset(7, "no longer wanted")
    stream.reset(8, "twice is harmless")
    async with asyncio.timeout(2):
        error = await seen
    assert (error.code, error.reason) == (7, "no longer wanted")
    with pytest.raises(StreamReset):
        await stream.receive()
    with pytest.raises(StreamReset):
        await stream.send(b"x")


async def test_failures_are_told_without_reading(make_node: MakeNode) -> None:
    a, b, link = await pair(make_node)
    told: list[str] = []
    ready = asyncio.Event()

    async def busy(link: Link, stream: Stream) -> None:
        name = (await stream.receive() or b"").decode()
        stream.on_failure(lambda: told.append(name))
        ready.set()
        await asyncio.Event().wait()

    b.links.serve(StreamKind.JOB, busy)
    for name in (b"reset", b"crash"):
        ready.clear()
        stream = link.open(StreamKind.JOB)
        await stream.send(name)
        async with asyncio.timeout(2):
            await ready.wait()
        if name == b"reset":
            stream.reset(1, "")
            await eventually(lambda: told == ["reset"])
            stream.on_failure(lambda: told.append("late"))
    assert told == ["reset", "late"]
    await a.close()
    await eventually(lambda: told == ["reset", "late", "crash"])


async def test_unserved_kinds_and_crashed_handlers_reset_the_stream_only(
    make_node: MakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    _, b, link = await pair(make_node)

    async def crash(link: Link, stream: Stream) -> None:
        raise RuntimeError("secret detail")

    b.links.serve(StreamKind.JOB, crash)
    b.links.serve(StreamKind.DHT, echo)
    with pytest.raises(StreamReset) as refused:
        await link.call(StreamKind.STATUS, b"", timeout=2)
    assert refused.value.code == ResetCode.REFUSED
    with pytest.raises(StreamReset) as failed:
        await link.call(StreamKind.JOB, b"", timeout=2)
    assert failed.value.code == ResetCode.FAILED
    assert "secret" not in str(failed.value)
    assert await link.call(StreamKind.DHT, b"still", timeout=2) == b"still"


async def test_a_handler_that_returns_early_ends_its_stream(make_node: MakeNode) -> None:
    _, b, link = await pair(make_node)

    async def one(link: Link, stream: Stream) -> None:
        await stream.send(b"all there is")

    b.links.serve(StreamKind.JOB, one)
    stream = link.open(StreamKind.JOB)
    assert await stream.receive() == b"all there is"
    assert await stream.receive() is None
    for _ in range(INITIAL_CREDIT // 10_000 * 2):
        await stream.send(b"x" * 10_000)  # nobody reads, and nobody is stuck


async def test_a_call_that_gets_no_answer_times_out(make_node: MakeNode) -> None:
    _, b, link = await pair(make_node)

    async def ponder(link: Link, stream: Stream) -> None:
        await stream.receive()
        await stream.receive()
        await asyncio.Event().wait()

    b.links.serve(StreamKind.DHT, ponder)
    with pytest.raises(TimeoutError):
        await link.call(StreamKind.DHT, b"", timeout=0.05)
    b.links.serve(StreamKind.DHT, echo)
    assert await link.call(StreamKind.DHT, b"next", timeout=2) == b"next"


async def test_a_reader_that_stops_holds_back_its_sender_only(make_node: MakeNode) -> None:
    _, b, link = await pair(make_node)
    stop = asyncio.Event()

    async def never_read(link: Link, stream: Stream) -> None:
        await stop.wait()

    b.links.serve(StreamKind.BLOB, never_read)
    b.links.serve(StreamKind.DHT, echo)
    stream = link.open(StreamKind.BLOB)
    sent = 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            while True:
                await stream.send(b"x" * 4096)
                sent += 4096
    assert sent <= INITIAL_CREDIT + MAX_UNSENT_STREAM + 4096
    for _ in range(20):
        assert await link.call(StreamKind.DHT, b"free", timeout=2) == b"free"
    stop.set()


async def test_leaving_cleanly_ends_streams_and_tells_watchers(make_node: MakeNode) -> None:
    a, b = await make_node(), await make_node()
    seen: list[tuple[str, bool]] = []
    b.links.watch(lambda link, up: seen.append((link.peer, up)))
    a_link = await a.links.connect(b.node_id, b.addresses)

    async def wait_for_more(link: Link, stream: Stream) -> None:
        await stream.receive()

    b.links.serve(StreamKind.JOB, wait_for_more)
    stream = a_link.open(StreamKind.JOB)
    await eventually(lambda: seen == [(a.node_id, True)])
    await b.close()
    with pytest.raises(LinkClosed):
        async with asyncio.timeout(2):
            await stream.receive()
    assert a_link.closed
    with pytest.raises(LinkClosed):
        a_link.open(StreamKind.JOB)
    assert a.links.get(b.node_id) is None
    assert seen == [(a.node_id, True), (a.node_id, False)]


async def test_simultaneous_dials_leave_one_link_and_lose_nothing(make_node: MakeNode) -> None:
    a, b = await make_node(), await make_node()
    for node in (a, b):
        node.links.serve(StreamKind.DHT, echo)

    async def dial_and_call(here: Any, there: Any) -> int:
        link = await here.links.connect(there.node_id, there.addresses)
        answers = [await link.call(StreamKind.DHT, b"%d" % n, timeout=3) for n in range(20)]
        assert list(answers) == [b"%d" % n for n in range(20)]
        return len(answers)

    assert sum(await asyncio.gather(dial_and_call(a, b), dial_and_call(b, a))) == 40
    await eventually(lambda: len(a.links.all()) == 1 and len(b.links.all()) == 1)
    assert await a.links.get(b.node_id).call(StreamKind.DHT, b"after", timeout=2) == b"after"
    assert await b.links.get(a.node_id).call(StreamKind.DHT, b"after", timeout=2) == b"after"


async def test_many_streams_at_once(make_node: MakeNode) -> None:
    _, b, link = await pair(make_node)
    b.links.serve(StreamKind.DHT, echo)
    calls = [link.call(StreamKind.DHT, b"%d" % n * 100, timeout=10) for n in range(500)]
    assert await asyncio.gather(*calls) == [b"%d" % n * 100 for n in range(500)]
