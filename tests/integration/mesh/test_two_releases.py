"""Version N and version N+1 in one mesh: what the newer one adds to messages disturbs nobody.

The newer release is a copy of this one that appends unknown items to every record, offer, chunk,
hello and directory message that it sends.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chaos.next_release import NEWS, VERSION, make_release
from tests.fakes.openai_server import FakeOpenAI
from tests.integration.mesh.daemon import ELECTRONS, Daemon, Daemons, until, until_model
from tests.integration.mesh.resuming_client import RESUMED, hear

PACED = ("--engine", "demo", "--demo-rate", "40")
LONG = "word " * 20_000
"""Beyond what fits into an offer: it travels in parts of its own."""
WHAT_IT_SENDS = """
from mesh.jobs import Chunk, JobSpec
from mesh.wire.jobs import Accept, Offer, encode, encode_offer
job = JobSpec("chat", "m")
offer = Offer("0" * 32, 1, "a" * 40, "t", "public", 0, 5.0, 1, job)
print(encode(Accept(1, 0, 1)), encode(Chunk("x")), encode_offer(offer))
"""


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The program of the newer release, which does say more than this one knows."""
    program = make_release(tmp_path / "next")
    head = program.read_text().splitlines()
    script = tmp_path / "what_it_sends.py"
    script.write_text("\n".join([*head[1:3], WHAT_IT_SENDS]))
    python = head[0].removeprefix("#!")
    said = subprocess.run([python, script], capture_output=True, text=True, check=True).stdout
    assert said.count(NEWS) == 5
    return program


async def ask(gateway: Daemon, model: str, prompt: str = "Hello", **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}
    url = f"{gateway.http}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def version_seen(gateway: Daemon, node: str) -> str:
    peers = (await gateway.get("/api/peers"))["peers"]
    return next((str(peer["version"]) for peer in peers if peer["node_id"] == node), "")


async def test_jobs_flow_both_ways(daemons: Daemons, newer: Path) -> None:
    async with (
        FakeOpenAI("vllm", model="old-7b", context=100_000) as one,
        FakeOpenAI("llama.cpp", model="new-7b", context=100_000) as other,
    ):
        old = await daemons.start("--engine", one.url)
        new = await daemons.start("--engine", other.url, join=old, program=newer)
        await until_model(old, "new-7b")
        await until_model(new, "old-7b")
        assert await version_seen(old, new.node_id) == VERSION
        for gateway, model in ((old, "new-7b"), (new, "old-7b")):
            whole = await ask(gateway, model, n=2)
            assert len(whole["choices"]) == 2
            assert whole["usage"]["completion_tokens"] == 16
            heard = await hear(gateway, model=model)
            assert heard.texts == {0: whole["choices"][0]["message"]["content"]}
            assert heard.done
            long = await ask(gateway, model, LONG)
            assert long["usage"]["prompt_tokens"] >= 20_000


@pytest.mark.parametrize("newer_gateway", [True, False])
async def test_either_release_goes_on_with_what_the_other_began(
    daemons: Daemons, newer: Path, newer_gateway: bool
) -> None:
    program = newer if newer_gateway else ELECTRONS
    gateway = await daemons.start("--engine", "none", program=program)
    workers = {}
    for program in (ELECTRONS, newer):
        worker = await daemons.start(*PACED, join=gateway, program=program)
        workers[worker.node_id] = worker
    await until_model(gateway, "demo", nodes=2)
    fields: dict[str, Any] = {"max_tokens": 60, "seed": 7}
    whole = await hear(gateway, **fields)

    async def kill(node: str) -> None:
        await workers[node].kill()

    broken = await hear(gateway, after=20, do=kill, **fields)
    assert broken.texts == whole.texts
    assert broken.usage == whole.usage
    assert RESUMED in broken.comments


async def test_a_node_that_leaves_is_gone_for_the_other_release(
    daemons: Daemons, newer: Path
) -> None:
    old = await daemons.start(*PACED)
    new = await daemons.start("--engine", "none", join=old, program=newer)
    await until_model(new, "demo")
    await old.stop()

    async def gone() -> bool:
        return not (await new.get("/v1/models"))["data"]

    await until(gone)
