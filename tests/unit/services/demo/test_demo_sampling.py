from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from services.engines.demo.request import Settings
from services.engines.demo.sampling import (
    adjust,
    choose_token,
    draw_uniform,
    log_probabilities,
    mute_marks,
)
from services.engines.demo.tokenizer import BOT, EOS

LOGITS = np.log(np.array([0.1, 0.2, 0.4, 0.05, 0.25], np.float32))


def settings(**changes: object) -> Settings:
    return Settings(**{"seed": 1, "temperature": 1.0, **changes})  # type: ignore[arg-type]


def draw_many(asked: Settings, count: int = 4000) -> Counter[int]:
    draws = (draw_uniform(asked.seed, 0, position) for position in range(count))
    return Counter(choose_token(LOGITS, asked, draw) for draw in draws)


def test_temperature_zero_takes_the_likeliest() -> None:
    assert {choose_token(LOGITS, settings(temperature=0.0), u / 10) for u in range(10)} == {2}


def test_draws_follow_the_probabilities() -> None:
    counts = draw_many(settings())
    for token, share in enumerate(np.exp(LOGITS)):
        assert counts[token] / 4000 == pytest.approx(share, abs=0.03)


def test_a_high_temperature_evens_the_draws_out() -> None:
    counts = draw_many(settings(temperature=100.0))
    assert min(counts.values()) / 4000 == pytest.approx(0.2, abs=0.03)


def test_top_k_keeps_the_likeliest() -> None:
    assert set(draw_many(settings(top_k=2))) == {2, 4}


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert set(draw_many(settings(top_p=0.6))) == {2, 4}
    assert set(draw_many(settings(top_p=0.0))) == {2}
    assert set(draw_many(settings(top_p=1.0))) == {0, 1, 2, 3, 4}


def test_a_draw_depends_on_seed_choice_and_position_only() -> None:
    draws = [draw_uniform(*key) for key in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1), (11, 0, 0))]
    assert len(set(draws)) == 5
    assert draws == [
        draw_uniform(*key) for key in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1), (11, 0, 0))
    ]
    assert all(0 <= draw < 1 for draw in draws)


def test_marks_are_never_drawn_but_the_end_is() -> None:
    logits = np.full(20, -1.0, np.float32)
    logits[BOT], logits[EOS] = 50.0, 10.0
    assert choose_token(mute_marks(logits), settings(temperature=0.0), 0.5) == EOS


def test_penalties_and_bias_change_the_likeliest() -> None:
    greedy = settings(temperature=0.0, frequency_penalty=0.5, presence_penalty=0.5)
    assert choose_token(adjust(LOGITS, greedy, Counter({2: 1})), greedy, 0.5) == 4
    biased = settings(temperature=0.0, bias=((3, 10.0), (999, 5.0)))
    assert choose_token(adjust(LOGITS, biased, Counter()), biased, 0.5) == 3


def test_log_probabilities_are_normalised() -> None:
    assert np.exp(log_probabilities(LOGITS + 7)).tolist() == pytest.approx(np.exp(LOGITS).tolist())


def test_tiny_temperatures_do_not_overflow() -> None:
    assert choose_token(LOGITS, settings(temperature=1e-300), 0.9) == 2
