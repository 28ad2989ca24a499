"""What the shipped weights can do. It is little, and it must not become less."""

from __future__ import annotations

import pytest

from mesh.jobs import Chunk, JobSpec, Sampling
from services.engines.demo.answer import write_answers
from services.engines.demo.facts import FOLDER, describe, read_facts
from services.engines.demo.grammar.definitions import DEFINITIONS
from services.engines.demo.grammar.talk import UNKNOWN
from services.engines.demo.grammar.words import article
from services.engines.demo.model import Llama
from services.engines.demo.request import read_request
from services.engines.demo.tokenizer import Tokenizer

ANIMALS = (
    "owl", "fox", "bear", "cat", "dog", "mouse", "rabbit", "frog", "duck", "horse", "hedgehog",
    "squirrel", "otter", "whale", "penguin", "lion", "elephant", "bee",
)  # fmt: skip


class Talk:
    """Asks the shipped model."""

    def __init__(self, model: Llama, tokenizer: Tokenizer) -> None:
        self._model = model
        self._tokenizer = tokenizer

    def ask(self, *texts: str, system: str = "", temperature: float = 0.0) -> str:
        """The answer to the last text; those before it were asked and answered in turn."""
        roles = ("user", "assistant")
        messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        sampling = Sampling(temperature=temperature, seed=1)
        job = JobSpec("chat", "demo", tuple(messages), sampling=sampling)
        events = write_answers(self._model, self._tokenizer, read_request(job, 1))
        return "".join(event.text for event in events if isinstance(event, Chunk))


@pytest.fixture(scope="module")
def talk(model: Llama, tokenizer: Tokenizer) -> Talk:
    return Talk(model, tokenizer)


def keeps_hero(story: str, animal: str) -> bool:
    """The animal asked for comes first and returns; no other word takes its place."""
    return animal in story.split(".")[0] + story.split(".")[1] and story.count(animal) >= 3


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_stories_are_about_the_animal_asked_for(talk: Talk, temperature: float) -> None:
    stories = {
        animal: talk.ask(f"Tell me a story about {article(animal)}.", temperature=temperature)
        for animal in ANIMALS
    }
    kept = [animal for animal, story in stories.items() if keeps_hero(story, animal)]
    assert len(kept) >= 16, stories


def test_single_digits_are_mostly_added_right(talk: Talk) -> None:
    right = sum(
        talk.ask(f"What is {a} + {b}?") == f"{a} + {b} = {a + b}."
        for a in range(10)
        for b in range(10)
    )
    assert right >= 90


@pytest.mark.parametrize("question", ["Who are you?", "What are you?", "What can you do?"])
def test_it_says_that_it_is_a_demo_that_knows_nothing(talk: Talk, question: str) -> None:
    for system in ("", "You are a helpful assistant."):
        answer = talk.ask(question, system=system)
        assert "demo model" in answer
        assert "know nothing" in answer


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "Tell me about the Roman empire.",
        "Write a Python function that reverses a string.",
        "Who is the president of the United States?",
    ],
)
def test_it_admits_what_it_does_not_know(talk: Talk, question: str) -> None:
    assert talk.ask(question) == UNKNOWN


def test_definitions_are_given_as_learnt(talk: Talk) -> None:
    right = sum(talk.ask(f"What is {term}?") == text for term, text in DEFINITIONS.items())
    assert right >= len(DEFINITIONS) - 1


def test_poems_name_their_topic(talk: Talk) -> None:
    for topic in ("the moon", "the sea", "winter"):
        poem = talk.ask(f"Write a poem about {topic}.")
        assert topic in poem.lower()
        assert poem.count("\n") == 3


def test_a_conversation_goes_on(talk: Talk) -> None:
    first = talk.ask("Tell me a story about a fox.")
    again = talk.ask("Tell me a story about a fox.", first, "Now about an owl.")
    assert keeps_hero(again, "owl")


def test_the_files_are_as_small_as_promised() -> None:
    facts = read_facts(FOLDER)
    assert facts.parameters <= 2_000_000
    size = sum((FOLDER / name).stat().st_size for name in ("model.safetensors", "tokenizer.json"))
    assert size <= 4_000_000
    description = describe(facts).description
    assert description == (
        "demo model of 1.8 million parameters, trained on invented stories; it knows nothing"
    )


def test_the_log_of_the_training_is_kept() -> None:
    log = (FOLDER / "train.log").read_text()
    assert "seed" in log
    assert log.count("loss") >= 10
