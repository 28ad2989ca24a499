"""The conversation: what is remembered, what is forgotten, how it is left."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mesh.errors import JobFailed
from node.cli import chat
from node.cli.ask import Answer, add_sampling_flags
from node.cli.chat import MAX_MESSAGES, Conversation, converse
from node.cli.client import Api


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests that were sent; "fail" and "cancel" end as they say."""
    bodies: list[dict[str, Any]] = []

    def answer(api: Api, body: dict[str, Any], **_: object) -> Answer:
        bodies.append(body)
        words = body["messages"][-1]["content"]
        if words == "fail":
            raise JobFailed("every candidate failed")
        if words == "cancel":
            raise KeyboardInterrupt
        return Answer(node="ab", text=f"re: {words}")

    monkeypatch.setattr(chat, "stream_answer", answer)
    return bodies


@pytest.fixture
def conversation() -> Conversation:
    parser = argparse.ArgumentParser()
    add_sampling_flags(parser)
    return Conversation(Api("http://127.0.0.1:1", None), parser.parse_args(["--temperature", "0"]))


def typed(*lines: str | type[BaseException]) -> Callable[[str], str]:
    waiting: Iterator[str | type[BaseException]] = iter(lines)

    def read(prompt: str) -> str:
        line = next(waiting, EOFError)
        if isinstance(line, str):
            return line
        raise line

    return read


def test_the_conversation_is_sent_along(
    conversation: Conversation, asked: list[dict[str, Any]]
) -> None:
    assert converse(conversation, read=typed("one", "", "two")) == 0
    assert [m["content"] for m in asked[1]["messages"]] == ["one", "re: one", "two"]
    assert asked[1]["temperature"] == 0.0
    assert "max_tokens" not in asked[1]


@pytest.mark.parametrize("words", ["fail", "cancel"])
def test_a_turn_that_came_to_nothing_is_forgotten(
    conversation: Conversation, asked: list[dict[str, Any]], words: str
) -> None:
    converse(conversation, read=typed(words, "two"))
    assert [m["content"] for m in asked[1]["messages"]] == ["two"]


def test_commands_are_not_sent(
    conversation: Conversation, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    read = typed("one", "/new", "/model other", "/who", "/what", "two", "/quit", "three")
    assert converse(conversation, read=read) == 0
    assert [body["model"] for body in asked] == ["auto", "other"]
    assert [m["content"] for m in asked[1]["messages"]] == ["two"]
    errors = capsys.readouterr().err
    assert "served by ab" in errors
    assert "/model NAME" in errors


def test_an_interrupt_at_the_prompt_only_clears_the_line(
    conversation: Conversation, asked: list[dict[str, Any]]
) -> None:
    converse(conversation, read=typed(KeyboardInterrupt, "one"))
    assert len(asked) == 1


def test_a_long_conversation_is_cut_at_its_beginning(
    conversation: Conversation, asked: list[dict[str, Any]]
) -> None:
    converse(conversation, read=typed(*(f"m{i}" for i in range(MAX_MESSAGES))))
    assert len(asked[-1]["messages"]) == MAX_MESSAGES
    assert asked[-1]["messages"][-1]["content"] == f"m{MAX_MESSAGES - 1}"
