"""How engines go on with answers: whom they tell that they can, and what they send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from mesh.capability import ModelRef
from mesh.errors import EngineError, EngineUnavailable
from mesh.jobs import Chunk, Emitted, Finish, JobSpec, Sampling
from services.engines.engine import Engine, Event
from services.engines.ollama import OllamaEngine
from services.engines.openai import OpenAIEngine
from services.engines.openai_probe import Kind
from services.engines.openai_resume import AT_ONCE
from tests.fakes.knobs import Knobs
from tests.fakes.ollama_server import FakeOllama
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.story import SPOILT, to_ids

Until = Callable[..., Awaitable[None]]

STORY = "Two owls sat there.  \n\nOne said:  hoo!\n"
CHAT = JobSpec(
    "chat", "fake-7b", ({"role": "user", "content": "Go on!"},), stream=True, sampling=Sampling()
)


@asynccontextmanager
async def engine_at(fake: FakeOpenAI, kind: Kind) -> AsyncIterator[tuple[Engine, ModelRef]]:
    async with fake:
        engine = OpenAIEngine(fake.url, kind=kind)
        (model,) = (await engine.probe()).models
        yield engine, model
        await engine.close()


async def go_on(engine: Engine, model: ModelRef, job: JobSpec, *given: Emitted) -> list[Event]:
    async with aclosing(engine.run(replace(job, resume=given), model)) as events:
        return [event async for event in events]


def text_of(events: list[Event], index: int = 0) -> str:
    return "".join(one.text for one in events if isinstance(one, Chunk) and one.index == index)


@pytest.mark.parametrize(
    ("server", "kind", "knobs", "resumable"),
    [
        ("vllm", "vllm", Knobs(), True),
        ("vllm", "vllm", Knobs(trims=True), True),
        ("vllm", "vllm", Knobs(thinks=True), False),
        ("llama.cpp", "llama.cpp", Knobs(), True),
        ("llama.cpp", "llama.cpp", Knobs(thinks=True), False),
        ("plain", "vllm", Knobs(), False),
        ("plain", "openai", Knobs(), False),
        ("plain", "lmstudio", Knobs(), False),
        ("plain", "koboldcpp", Knobs(), False),
    ],
)
async def test_only_who_shows_that_it_goes_on_plainly_says_so(
    server: Any, kind: Kind, knobs: Knobs, resumable: bool
) -> None:
    async with engine_at(FakeOpenAI(server, knobs=knobs), kind) as (_, model):
        assert ("resume" in model.features) is resumable


async def test_the_server_is_asked_once_and_anew_after_it_was_gone() -> None:
    async with engine_at(FakeOpenAI("vllm"), "vllm") as (engine, model):
        assert "resume" in model.features
    fake = FakeOpenAI("vllm", knobs=Knobs(thinks=True))
    async with fake:
        engine = OpenAIEngine(fake.url, kind="vllm")
        assert "resume" not in (await engine.probe()).models[0].features
        fake.knobs.thinks = False
        assert "resume" not in (await engine.probe()).models[0].features
        fake.knobs.loading = True
        with pytest.raises(EngineUnavailable):
            await engine.probe()
        fake.knobs.loading = False
        assert "resume" in (await engine.probe()).models[0].features
        await engine.close()


async def test_a_server_that_fails_at_the_question_is_in_use_all_the_same() -> None:
    class Broken(FakeOpenAI):
        asked = 0

        def refuse(self, request: web.Request) -> web.Response | None:
            if request.path == "/tokenize":
                self.asked += 1
                return web.json_response({"error": "template"}, status=500)
            return super().refuse(request)

    async with Broken("vllm") as fake:
        engine = OpenAIEngine(fake.url, kind="vllm")
        for _ in range(6):
            (model,) = (await engine.probe()).models
            assert "resume" not in model.features
        assert fake.asked == 3
        with pytest.raises(EngineError, match="not ready") as caught:
            await go_on(engine, model, CHAT, Emitted("Two"))
        assert not isinstance(caught.value, EngineUnavailable), "it would be withdrawn"
        await engine.close()


async def test_a_template_that_trims_loses_no_spaces() -> None:
    knobs = Knobs(text=STORY, trims=True)
    for kind in ("vllm", "llama.cpp"):
        async with engine_at(FakeOpenAI(kind, knobs=knobs), kind) as (engine, model):
            for cut in range(1, len(STORY)):
                rest = await go_on(engine, model, CHAT, Emitted(STORY[:cut]))
                assert STORY[:cut] + text_of(rest) == STORY


async def test_ids_are_told_and_taken_back_where_they_are_those_of_the_text() -> None:
    """The answer's own tokens may be others than its text would be cut into."""
    fake = FakeOpenAI("vllm", knobs=Knobs(text=STORY))
    async with engine_at(fake, "vllm") as (engine, model):
        whole = await go_on(engine, model, CHAT)
        told = [one.token_ids for one in whole if isinstance(one, Chunk)]
        assert told[:2] == [tuple(to_ids("Two")), tuple(to_ids(" owls"))]
        odd = (*to_ids("Tw"), *to_ids("o"), *to_ids(" owls"))
        prompt = to_ids("<|user|>Go on!<|end|><|assistant|>")
        for given, answer in (
            (Emitted("Two owls", odd), odd),
            (Emitted("Two owls", (*odd, *to_ids(" sat"))), to_ids("Two owls")),
            (Emitted("Two owls", (1, 2, 3)), to_ids("Two owls")),
            (Emitted("Two owls"), to_ids("Two owls")),
        ):
            rest = await go_on(engine, model, CHAT, given)
            assert "Two owls" + text_of(rest) == STORY
            assert fake.seen.requests[-1]["prompt"] == [*prompt, *answer]


async def test_a_chat_request_goes_on_as_a_completion_with_what_that_has() -> None:
    fake = FakeOpenAI("vllm", knobs=Knobs(text=STORY))
    job = replace(
        CHAT,
        sampling=Sampling(temperature=0.5, stop=("~",), max_tokens=6),
        extra={
            "chat_template_kwargs": {"enable_thinking": False},
            "parallel_tool_calls": False,
            "min_p": 0.1,
        },
    )
    async with engine_at(fake, "vllm") as (engine, model):
        await go_on(engine, model, job, Emitted("Two owls"))
        (sent,) = fake.seen.requests
    assert sent["max_tokens"] == 4
    assert (sent["temperature"], sent["stop"], sent["min_p"]) == (0.5, ["~"], 0.1)
    assert not {"messages", "chat_template_kwargs", "parallel_tool_calls", "n"} & set(sent)


async def test_choices_go_on_side_by_side_but_not_too_many(until: Until) -> None:
    fake = FakeOpenAI("vllm", knobs=Knobs(text=STORY, hang_after=0))
    async with engine_at(fake, "vllm") as (engine, model):
        job = replace(CHAT, sampling=Sampling(n=AT_ONCE + 2), resume=(Emitted("Two"),) * 6)
        events = engine.run(job, model)
        waiting = asyncio.ensure_future(anext(events))
        await until(lambda: fake.seen.running == AT_ONCE)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await events.aclose()
        await until(lambda: fake.seen.running == 0)
        assert fake.seen.generations == AT_ONCE


async def test_one_lost_choice_fails_the_whole_attempt() -> None:
    fake = FakeOpenAI("llama.cpp", knobs=Knobs(text=STORY, fail_after=2))
    async with engine_at(fake, "llama.cpp") as (engine, model):
        job = replace(CHAT, sampling=Sampling(n=2))
        with pytest.raises(EngineError):
            await go_on(engine, model, job, Emitted("Two"), Emitted("Two owls"))


async def test_other_servers_and_answers_to_images_are_left_to_others() -> None:
    async with engine_at(FakeOpenAI("plain"), "openai") as (engine, model):
        with pytest.raises(EngineError, match="not known to go on"):
            await go_on(engine, model, CHAT, Emitted("The"))
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    seen = replace(CHAT, messages=({"role": "user", "content": [shown]},))
    async with engine_at(FakeOpenAI("vllm"), "vllm") as (engine, model):
        with pytest.raises(EngineError, match="more than text"):
            await go_on(engine, model, seen, Emitted("The"))


async def test_nothing_given_out_is_a_fresh_start() -> None:
    fake = FakeOpenAI("vllm", knobs=Knobs(text=STORY))
    async with engine_at(fake, "vllm") as (engine, model):
        assert text_of(await go_on(engine, model, CHAT, Emitted())) == STORY
        assert "messages" in fake.seen.requests[-1]


async def test_the_fake_notices_a_begun_answer_that_is_not_the_beginning() -> None:
    async with engine_at(FakeOpenAI("vllm", knobs=Knobs(text=STORY)), "vllm") as (engine, model):
        for wrong in ("Two  owls", "wo owls", "Two owlsTwo owls"):
            assert text_of(await go_on(engine, model, CHAT, Emitted(wrong))).startswith(SPOILT)


@pytest.mark.parametrize(
    ("capabilities", "resumable"), [(("completion",), True), (("completion", "thinking"), False)]
)
async def test_ollama_models_that_think_are_not_resumable(
    capabilities: tuple[str, ...], resumable: bool
) -> None:
    async with FakeOllama(capabilities=capabilities) as fake:
        engine = OllamaEngine(fake.url)
        (model,) = (await engine.probe()).models
        assert ("resume" in model.features) is resumable
        await engine.close()


async def test_ollama_goes_on_from_the_prompt_that_it_shows() -> None:
    knobs = Knobs(text=STORY, by_tokens=True)
    async with FakeOllama(knobs=knobs) as fake:
        engine = OllamaEngine(fake.url)
        (model,) = (await engine.probe()).models
        job = replace(CHAT, sampling=Sampling(max_tokens=5, seed=3))
        rest = await go_on(engine, model, job, Emitted("Two owls"))
        assert text_of(rest) == " sat there."
        asked, *counted, sent = fake.seen.requests
        assert asked["_debug_render_only"] is True
        assert [one["options"]["num_predict"] for one in counted] == [1, 1]
        assert sent["prompt"] == "<|user|>Go on!<|end|><|assistant|>Two owls"
        assert sent["raw"] is True
        assert sent["options"] == {"num_predict": 3, "seed": 3}
        assert isinstance(rest[-1], Finish)
        assert rest[-1].usage.completion_tokens == 5
        await engine.close()


async def test_an_ollama_that_does_not_show_its_prompts_cannot_go_on() -> None:
    class Old(FakeOllama):
        async def _generate(self, request: web.Request) -> web.StreamResponse:
            return web.json_response({"message": {"role": "assistant", "content": "hi"}})

    async with Old() as fake:
        engine = OllamaEngine(fake.url)
        (model,) = (await engine.probe()).models
        with pytest.raises(EngineError, match="does not show its prompts"):
            await go_on(engine, model, CHAT, Emitted("Two"))
        await engine.close()
