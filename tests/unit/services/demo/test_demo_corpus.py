from __future__ import annotations

from random import Random

from services.engines.demo.chat_template import Turn, render_prompt
from services.engines.demo.corpus import Document, make_documents
from services.engines.demo.facts import FOLDER
from services.engines.demo.grammar.stories import tell_story
from services.engines.demo.grammar.sums import sum_exchange
from services.engines.demo.grammar.talk import SELF, self_exchange
from services.engines.demo.grammar.words import ANIMALS
from services.engines.demo.tokenizer import BOS, BOT, EOS, SYSTEM, USER, Tokenizer
from services.engines.demo.training.batches import make_batches, make_row

TOKENIZER = Tokenizer.load(FOLDER / "tokenizer.json")


def test_the_seed_fixes_the_corpus() -> None:
    first, again = list(make_documents(3, 200)), list(make_documents(3, 200))
    assert first == again
    assert first != list(make_documents(4, 200))


def test_every_text_is_filled_in() -> None:
    for document in make_documents(5, 2000):
        for text in (document.plain, *(part for pair in document.exchanges for part in pair)):
            assert "{" not in text
            assert "}" not in text


def test_the_hero_of_a_story_is_the_animal_asked_for() -> None:
    rng = Random(1)
    for animal in ANIMALS:
        story = tell_story(rng, animal)
        assert story.count(animal) >= 2


def test_sums_are_right() -> None:
    rng = Random(2)
    for _ in range(500):
        left, right = sum_exchange(rng)[1].rstrip(".").split(" = ")
        assert eval(left.replace("x", "*")) == int(right)


def test_the_model_learns_to_say_what_it_is() -> None:
    assert "demo model" in SELF
    assert "know nothing" in SELF
    assert all("demo model" in self_exchange(Random(seed))[1] for seed in range(20))


def test_only_answers_count_in_training() -> None:
    document = Document(exchanges=(("hi", "hello"), ("bye", "see you")), system="Be kind.")
    row = make_row(TOKENIZER, document, 512)
    learnt = [token for token, weight in zip(row.ids, row.weights, strict=True) if weight]
    assert learnt == [*TOKENIZER.encode("hello"), EOS, *TOKENIZER.encode("see you"), EOS]


def test_training_and_answering_write_conversations_alike() -> None:
    turns: tuple[Turn, ...] = (("system", "Be kind."), ("user", "hi"))
    prompt = render_prompt(TOKENIZER, turns)
    row = make_row(TOKENIZER, Document(exchanges=(("hi", "hello"),), system="Be kind."), 512)
    assert row.ids[: len(prompt)] == prompt
    assert [token for token in prompt if token < 5] == [BOS, SYSTEM, EOS, USER, EOS, BOT]


def test_rows_are_cut_at_whole_exchanges() -> None:
    document = Document(exchanges=(("hi", "hello"),) * 50)
    row = make_row(TOKENIZER, document, 64)
    assert len(row.ids) <= 64
    assert row.ids[-1] == EOS


def test_batches_hold_every_row_once_and_stay_small() -> None:
    rows = [make_row(TOKENIZER, document, 512) for document in make_documents(6, 300)]
    batches = list(make_batches(rows, 1024, 512, Random(1)))
    assert sorted(map(id, rows)) == sorted(id(row) for batch in batches for row in batch)
    assert all(len(batch) * max(len(row.ids) for row in batch) <= 1024 for batch in batches)
