"""A job asked of one daemon and served by another, over a real link between real processes."""

from __future__ import annotations

import asyncio

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.fakes.openai_server import FakeOpenAI
from tests.integration.mesh.daemon import Daemon, Daemons, until, until_model

HELLO: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "Tell me a story about an owl."}
]


def client_of(daemon: Daemon) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{daemon.http}/v1", api_key="any", max_retries=0)


async def test_the_demo_model_answers_through_a_node_without_an_engine(daemons: Daemons) -> None:
    gateway = await daemons.start("--engine", "none")
    worker = await daemons.start("--engine", "demo", join=gateway)
    await until_model(gateway, "demo")
    async with client_of(gateway) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="demo", messages=HELLO, max_tokens=40, temperature=0
        )
        assert raw.headers["x-electrons-node"] == worker.node_id != gateway.node_id
        whole = raw.parse().choices[0].message.content
        assert whole
        assert "owl" in whole
        stream = await client.chat.completions.create(
            model="demo", messages=HELLO, max_tokens=40, temperature=0, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert len(pieces) > 10
    assert "".join(pieces) == whole


async def test_every_node_answers_for_every_model(daemons: Daemons, engine: FakeOpenAI) -> None:
    first = await daemons.start("--engine", "none")
    second = await daemons.start("--engine", engine.url, join=first)
    third = await daemons.start("--engine", "demo", join=first)
    for daemon in (first, second, third):
        for model, owner in (("fake-7b", second), ("demo", third)):
            await until_model(daemon, model)
            async with client_of(daemon) as client:
                raw = await client.chat.completions.with_raw_response.create(
                    model=model, messages=HELLO, max_tokens=3
                )
            assert raw.headers["x-electrons-node"] == owner.node_id


async def test_two_equal_workers_share_and_one_killed_is_replaced(
    daemons: Daemons, engine: FakeOpenAI, second_engine: FakeOpenAI
) -> None:
    gateway = await daemons.start("--engine", "none")
    one = await daemons.start("--engine", engine.url, join=gateway)
    two = await daemons.start("--engine", second_engine.url, join=gateway)
    await until_model(gateway, "fake-7b", nodes=2)
    async with client_of(gateway) as client:

        async def ask() -> str:
            raw = await client.chat.completions.with_raw_response.create(
                model="fake-7b", messages=HELLO
            )
            assert raw.parse().choices[0].message.content
            node: str = raw.headers["x-electrons-node"]
            return node

        served = [await ask() for _ in range(30)]
        assert {one.node_id, two.node_id} == set(served)
        await one.kill()
        after = [await ask() for _ in range(5)]
    assert set(after) == {two.node_id}


async def test_any_node_may_die_and_the_rest_go_on(daemons: Daemons, engine: FakeOpenAI) -> None:
    seed = await daemons.start("--engine", "none")
    gateway = await daemons.start("--engine", "none", join=seed)
    worker = await daemons.start("--engine", engine.url, join=seed)
    await until_model(gateway, "fake-7b")
    await seed.kill()
    async with client_of(gateway) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="fake-7b", messages=HELLO
        )
    assert raw.headers["x-electrons-node"] == worker.node_id


async def test_a_failing_worker_before_the_first_byte_is_not_noticed(
    daemons: Daemons, engine: FakeOpenAI, second_engine: FakeOpenAI
) -> None:
    gateway = await daemons.start("--engine", "none")
    await daemons.start("--engine", engine.url, join=gateway)
    good = await daemons.start("--engine", second_engine.url, join=gateway)
    await until_model(gateway, "fake-7b", nodes=2)
    engine.knobs.busy = True
    async with client_of(gateway) as client:
        for _ in range(8):
            raw = await client.chat.completions.with_raw_response.create(
                model="fake-7b", messages=HELLO, stream=True
            )
            assert raw.headers["x-electrons-node"] == good.node_id
            assert [chunk async for chunk in raw.parse()]


async def test_a_client_that_leaves_frees_the_engine(daemons: Daemons, engine: FakeOpenAI) -> None:
    gateway = await daemons.start("--engine", "none")
    worker = await daemons.start("--engine", engine.url, join=gateway)
    await until_model(gateway, "fake-7b")
    engine.knobs.update({"length": 10_000, "delay": 0.01})
    async with client_of(gateway) as client:
        stream = await client.chat.completions.create(model="fake-7b", messages=HELLO, stream=True)
        await anext(aiter(stream))
        assert engine.seen.running == 1
        await stream.close()
    async with asyncio.timeout(1.0):
        await engine.seen.gone.wait()
    await until(lambda: idle(worker))
    await until(lambda: idle(gateway))


async def test_a_large_request_reaches_the_engine_untouched(
    daemons: Daemons, engine: FakeOpenAI
) -> None:
    gateway = await daemons.start("--engine", "none")
    await daemons.start("--engine", engine.url, join=gateway)
    await until_model(gateway, "fake-7b")
    text = "x" * 300_000
    async with client_of(gateway) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(
                model="fake-7b", messages=[{"role": "user", "content": text}]
            )
    assert refused.value.code == "context_length_exceeded"


async def test_every_slot_busy_past_the_deadline_is_overloaded(
    daemons: Daemons, engine: FakeOpenAI
) -> None:
    gateway = await daemons.start("--engine", "none", env={"ELECTRONS_DEADLINE_SECONDS": "1.5"})
    await daemons.start("--engine", engine.url, "--slots", "1", join=gateway)
    await until_model(gateway, "fake-7b")
    engine.knobs.update({"length": 10_000, "delay": 0.01})
    async with client_of(gateway) as client:
        stream = await client.chat.completions.create(model="fake-7b", messages=HELLO, stream=True)
        await anext(aiter(stream))
        with pytest.raises(openai.InternalServerError) as refused:
            await client.chat.completions.create(model="fake-7b", messages=HELLO)
        await stream.close()
    assert refused.value.status_code == 503
    assert refused.value.code == "overloaded"
    assert int(refused.value.response.headers["retry-after"]) >= 1


async def test_models_come_and_go_with_their_engine(daemons: Daemons, engine: FakeOpenAI) -> None:
    gateway = await daemons.start("--engine", "none")
    await daemons.start("--engine", engine.url, join=gateway)
    await until_model(gateway, "fake-7b")
    port = engine.port
    await engine.stop()
    await until(lambda: lacks(gateway, "fake-7b"))
    async with client_of(gateway) as client:
        with pytest.raises(openai.InternalServerError) as refused:
            await client.chat.completions.create(model="fake-7b", messages=HELLO)
        assert refused.value.code == "model_unavailable"
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="fake-8b", messages=HELLO)
        assert unknown.value.code == "model_not_found"
    await engine.start(port=port)
    await until_model(gateway, "fake-7b")


async def idle(daemon: Daemon) -> bool:
    return bool((await daemon.get("/api/node"))["in_flight"] == 0)


async def lacks(daemon: Daemon, model: str) -> bool:
    return all(entry["id"] != model for entry in (await daemon.get("/v1/models"))["data"])
