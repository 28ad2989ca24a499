"""What the dispatcher writes down of real runs over simulated links."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.scheduling.account import account_for
from mesh.errors import JobError, ModelNotFound
from mesh.jobs import Chunk
from mesh.ports import Link, Stream
from mesh.wire.jobs import Refuse, encode
from tests.simulation.serving_mesh import (
    ServingMesh,
    WordsEngine,
    make_job,
    make_request,
    serving_mesh,
)
from tests.simulation.virtual_time import run_virtual


def last_account(mesh: ServingMesh) -> dict[str, Any]:
    trace = mesh.dispatch.traces.find("0" * 32, None)
    assert trace is not None
    return account_for(trace)


def kinds(account: dict[str, Any]) -> list[str]:
    return [step["kind"] for step in account["steps"]]


def test_an_ordinary_request() -> None:
    async def story() -> dict[str, Any]:
        async with serving_mesh() as mesh:
            worker = mesh.add_worker(WordsEngine())
            await mesh.ask()
            account = last_account(mesh)
            assert account["steps"][-1]["node"] == worker
            return account

    account = run_virtual(story())
    assert kinds(account) == ["decided", "offered", "accepted", "started", "finished"]
    assert account["outcome"] == "finished"


def test_a_refusal_and_the_next_candidate() -> None:
    async def refuse(link: Link, stream: Stream) -> None:
        await stream.receive()
        await stream.send(encode(Refuse("draining", "the prompt was: secret")))

    async def story() -> dict[str, Any]:
        async with serving_mesh() as mesh:
            mesh.add_node(refuse)
            mesh.add_worker(WordsEngine(pace=0.3))
            for _ in range(20):
                await mesh.ask()
                account = last_account(mesh)
                if "refused" in kinds(account):
                    return account
            raise AssertionError("the refusing node was never asked")

    account = run_virtual(story())
    assert kinds(account)[:4] == ["decided", "offered", "refused", "offered"]
    assert account["steps"][2]["code"] == "draining"
    assert "secret" not in str(account)
    assert account["outcome"] == "finished"


def test_a_request_that_nobody_can_serve() -> None:
    async def story() -> dict[str, Any]:
        async with serving_mesh() as mesh:
            mesh.add_worker(WordsEngine())
            with pytest.raises(ModelNotFound):
                await mesh.ask(model="unknown")
            return last_account(mesh)

    account = run_virtual(story())
    assert kinds(account) == ["failed"]
    assert account["steps"][0]["code"] == "model_not_found"


def test_a_client_that_goes() -> None:
    async def story() -> dict[str, Any]:
        async with serving_mesh() as mesh:
            mesh.add_worker(WordsEngine(count=100))
            run = await mesh.dispatch.submit(make_job(), make_request())
            async for event in run.events():
                if isinstance(event, Chunk):
                    break
            await run.close()
            return last_account(mesh)

    assert run_virtual(story())["outcome"] == "cancelled"


def test_a_worker_that_is_lost_and_nobody_to_go_on() -> None:
    async def story() -> dict[str, Any]:
        async with serving_mesh() as mesh:
            mesh.add_worker(WordsEngine(fails_at=3))
            with pytest.raises(JobError):
                await mesh.ask()
            return last_account(mesh)

    account = run_virtual(story())
    (lost,) = (step for step in account["steps"] if step["kind"] == "lost")
    assert lost["characters"] == len("0 1 2 ")
    assert account["outcome"] == "failed"
