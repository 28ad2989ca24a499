"""Engines on loopback are found by what they answer, each once, and never ourselves."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import ConfigError, EngineUnavailable
from services.engines.discovery import Discovery
from services.engines.given import GivenEngine
from services.engines.recognition import NotAnEngine, engine_for_url, recognise
from tests.fakes.knobs import Knobs
from tests.fakes.ollama_server import FakeOllama
from tests.fakes.openai_server import FakeOpenAI
from tests.integration.engines.conftest import Conversation, ScriptedServer


def looking_at(*ports: int) -> Discovery:
    return Discovery(ports=ports, listeners=dict)


async def test_every_kind_is_found_by_its_answers(
    vllm: FakeOpenAI, llama_cpp: FakeOpenAI, ollama: FakeOllama
) -> None:
    discovery = looking_at(1, vllm.port, llama_cpp.port, ollama.port)
    found = await discovery.scan(known=())
    assert sorted(engine.name for engine in found) == sorted(
        [
            f"vllm@127.0.0.1:{vllm.port}",
            f"llama.cpp@127.0.0.1:{llama_cpp.port}",
            f"ollama@127.0.0.1:{ollama.port}",
        ]
    )
    assert {type(engine).__name__ for engine in found} == {"OpenAIEngine", "OllamaEngine"}


async def test_known_places_are_not_asked_again(vllm: FakeOpenAI) -> None:
    discovery = looking_at(vllm.port)
    assert await discovery.scan(known={f"127.0.0.1:{vllm.port}"}) == ()
    assert not vllm.seen.connections


async def test_a_plain_server_is_noted_and_taken_only_by_its_owners_word() -> None:
    async with FakeOpenAI("plain") as fake:
        discovery = looking_at(fake.port)
        assert await discovery.scan(known=()) == ()
        (note,) = discovery.notes()
        assert f"--engine {fake.url}" in note
        engine = await engine_for_url(fake.url)
        assert (await engine.probe()).models[0].name == "fake-7b"
        await engine.close()
        await fake.stop()
        await discovery.scan(known=())
        assert discovery.notes() == ()


async def test_a_mesh_daemon_is_never_an_engine() -> None:
    knobs = Knobs(mesh_header="0" * 40)
    async with FakeOpenAI("vllm", knobs=knobs) as other, FakeOllama(knobs=knobs) as emulated:
        discovery = looking_at(other.port, emulated.port)
        assert await discovery.scan(known=()) == ()
        assert discovery.notes() == ()
        with pytest.raises(NotAnEngine, match="mesh node"):
            await recognise(other.url)


async def test_a_daemons_server_header_gives_it_away(serve: ScriptedServer) -> None:
    async def gateway(conversation: Conversation) -> None:
        while await conversation.request():
            conversation.send(
                b"HTTP/1.1 404 Not Found\r\nServer: electrons\r\nContent-Length: 0\r\n\r\n"
            )

    server = await serve(gateway)
    with pytest.raises(NotAnEngine, match="mesh node"):
        await recognise(server.url)


async def test_one_process_on_two_ports_is_one_engine(vllm: FakeOpenAI) -> None:
    async with FakeOpenAI("llama.cpp") as first, FakeOpenAI("llama.cpp") as second:
        owners = {first.port: 10, second.port: 10, vllm.port: 11}
        ports = (first.port, second.port, vllm.port)
        discovery = Discovery(ports=ports, listeners=lambda: owners)
        names = [engine.name for engine in await discovery.scan(known=())]
        assert names == [f"llama.cpp@127.0.0.1:{first.port}", f"vllm@127.0.0.1:{vllm.port}"]
        assert await discovery.scan(known={place.rpartition("@")[2] for place in names}) == ()


async def test_the_system_tells_which_process_owns_a_port() -> None:
    async with FakeOllama() as first, FakeOllama() as second:  # both in this process
        discovery = Discovery(ports=(first.port, second.port))
        assert len(await discovery.scan(known=())) == 1


async def test_servers_that_stall_redirect_or_babble_do_no_harm(
    serve: ScriptedServer, ollama: FakeOllama
) -> None:
    async def stall(conversation: Conversation) -> None:
        await conversation.closed()

    async def redirect(conversation: Conversation) -> None:
        while await conversation.request():
            to = f"Location: {ollama.url}/api/version\r\n".encode()
            conversation.send(b"HTTP/1.1 302 Found\r\n" + to + b"Content-Length: 0\r\n\r\n")

    async def babble(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not conversation.writer.is_closing():
            conversation.send(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
            await conversation.writer.drain()

    servers = [await serve(handler) for handler in (stall, redirect, babble)]
    ports = [int(server.url.rpartition(":")[2]) for server in servers]
    async with asyncio.timeout(5.0):
        found = await looking_at(*ports, ollama.port).scan(known=())
    assert [engine.name for engine in found] == [f"ollama@127.0.0.1:{ollama.port}"]


async def test_a_given_url_is_recognised_when_it_first_answers() -> None:
    fake = FakeOllama()
    url = await fake.start()
    await fake.stop()
    engine = GivenEngine(url)
    with pytest.raises(EngineUnavailable):
        await engine.probe()
    await fake.start(port=fake.port)
    assert (await engine.probe()).models[0].engine == "ollama"
    await fake.stop()
    with pytest.raises(EngineUnavailable):
        await engine.probe()
    async with FakeOpenAI("vllm") as other:
        await other.stop()
        await other.start(port=fake.port)  # another engine took the port
        assert (await engine.probe()).models[0].engine == "vllm"
    assert engine.name == f"127.0.0.1:{fake.port}"
    await engine.close()


def test_a_given_url_must_be_one() -> None:
    with pytest.raises(ConfigError):
        GivenEngine("file:///etc/passwd")
