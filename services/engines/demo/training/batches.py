"""Turns documents into padded rows of ids, with how much each place counts for the loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

from services.engines.demo.chat_template import render_turn
from services.engines.demo.corpus import Document
from services.engines.demo.tokenizer import BOS, EOS, Tokenizer

SORTED_TOGETHER = 1024
"""Documents sorted by length at a time, so that a batch is padded little."""


@dataclass(frozen=True, slots=True)
class Row:
    """Ids of a document; `weights[i]` says how much the model is to learn to write id i."""

    ids: list[int]
    weights: list[float]


def make_row(tokenizer: Tokenizer, document: Document, context: int) -> Row:
    """A document as ids; only answers (and plain texts) count. Turns past the context are cut."""
    row = Row([BOS], [0.0])
    if document.plain:
        _append(row, [*tokenizer.encode(document.plain), EOS], counts=True)
    if document.system:
        _append(row, render_turn(tokenizer, ("system", document.system)), counts=False)
    for asked, answer in document.exchanges:
        question = render_turn(tokenizer, ("user", asked))
        reply = render_turn(tokenizer, ("assistant", answer))
        if len(row.ids) + len(question) + len(reply) > context:
            break
        _append(row, question, counts=False)
        _append(row, reply, counts=True)
    return row


def make_batches(
    rows: Iterable[Row], tokens: int, context: int, rng: Random
) -> Iterator[list[Row]]:
    """Batches of rows of similar length, at most `tokens` after padding, in random order."""
    rows = iter(rows)
    while group := list(islice(rows, SORTED_TOGETHER)):
        batches: list[list[Row]] = [[]]
        for row in sorted(group, key=lambda row: len(row.ids)):
            if (len(batches[-1]) + 1) * len(row.ids) > max(tokens, context):
                batches.append([])
            batches[-1].append(row)
        rng.shuffle(batches)
        yield from batches


def _append(row: Row, turn: list[int], *, counts: bool) -> None:
    """Add a turn; its first id, the speaker's mark, is given and never learnt.

    An answer weighs the root of its length: otherwise the stories, long and largely chance, drown
    the sums, short and exact.
    """
    weight = (len(turn) - 1) ** -0.5 if counts else 0.0
    row.ids.extend(turn)
    row.weights.extend([0.0] + [weight] * (len(turn) - 1))
