"""Questions whose answers are known beforehand, and clients that put them to living gateways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import aiohttp

from chaos.nodes import Node

PROMPTS = (
    "Tell me a story about an owl.",
    "Tell me a story about two friends and a boat.",
    "Write a poem about the rain.",
    "Tell me a long story about a fox who is afraid of the dark.",
)
SEEDS = (1, 2, 3)
MAX_GATEWAYS = 6
"""Gateways one client tries, when one after the other is killed under it."""


@dataclass(frozen=True)
class Question:
    """A prompt and a seed, so that the demo model's answer is one and the same everywhere."""

    prompt: str
    seed: int
    tokens: int

    def body(self, stream: bool) -> dict[str, object]:
        return {
            "model": "demo",
            "messages": [{"role": "user", "content": self.prompt}],
            "max_tokens": self.tokens,
            "seed": self.seed,
            "stream": stream,
        }


@dataclass
class Answer:
    """What one gateway gave; `problem` is empty when the answer came to its end."""

    text: str = ""
    problem: str = ""
    resumed: int = 0


@dataclass
class Story:
    """How one client fared: it succeeded when `problem` is empty."""

    problem: str = ""
    gateways_lost: int = 0
    """Gateways that were killed or told to stop while they had its request."""
    resumed: int = 0


async def put(
    session: aiohttp.ClientSession, url: str, question: Question, *, stream: bool
) -> Answer:
    """One request to one gateway."""
    answer = Answer()
    try:
        async with session.post(
            f"{url}/v1/chat/completions", json=question.body(stream)
        ) as response:
            if response.status != 200:
                answer.problem = f"status {response.status}: {(await response.text())[:200]}"
            elif stream:
                await _read_stream(response, answer)
            else:
                answer.text = (await response.json())["choices"][0]["message"]["content"]
    except aiohttp.ClientError as error:
        answer.problem = f"connection: {type(error).__name__}"
    except TimeoutError:
        answer.problem = "too late"
    return answer


async def _read_stream(response: aiohttp.ClientResponse, answer: Answer) -> None:
    answer.problem = "the stream broke off"
    async for data in response.content:
        line = data.decode().strip()
        answer.resumed += line.startswith(": resumed")
        if line == "data: [DONE]" and answer.problem == "the stream broke off":
            answer.problem = ""
        elif line.startswith("data: {"):
            event = json.loads(line[6:])
            if "error" in event:
                answer.problem = f"error event: {event['error']}"
            for choice in event.get("choices", ()):
                answer.text += choice["delta"].get("content") or ""


async def learn(session: aiohttp.ClientSession, url: str, tokens: int) -> dict[Question, str]:
    """All questions with their answers, given while nothing goes wrong yet."""
    questions = [Question(prompt, seed, tokens) for prompt in PROMPTS for seed in SEEDS]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(put(session, url, each, stream=False)) for each in questions]
    known = {}
    for question, task in zip(questions, asked, strict=True):
        answer = task.result()
        if answer.problem:
            raise RuntimeError(f"no answer even before anything went wrong: {answer.problem}")
        known[question] = answer.text
    return known


async def ask_living(
    session: aiohttp.ClientSession,
    living: Callable[[], list[Node]],
    question: Question,
    expected: str,
    *,
    stream: bool,
    rng: Random,
) -> Story:
    """Ask a living gateway; another one when that is killed or stopped meanwhile, and only then."""
    story = Story()
    for _ in range(MAX_GATEWAYS):
        gateway = rng.choice(living())
        starts = gateway.starts
        answer = await put(session, gateway.http, question, stream=stream)
        story.resumed += answer.resumed
        if answer.problem and (gateway.starts != starts or not gateway.alive):
            story.gateways_lost += 1
            continue
        wrong = "" if answer.text == expected else f"{answer.text!r} instead of {expected!r}"
        story.problem = answer.problem or wrong
        return story
    story.problem = "every gateway asked was killed"
    return story
