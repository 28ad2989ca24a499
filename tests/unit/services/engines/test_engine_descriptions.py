"""What servers say of models and load, and how engines are told apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.engines.discovery import twins
from services.engines.fingerprints import FINGERPRINTS, PORTS, is_daemon
from services.engines.openai_models import (
    VLLM_SLOTS,
    llama_features,
    metric,
    public_name,
    quantisation_of,
    read_cards,
    vllm_slots,
    whole,
)
from tests.fakes import openai_wire as wire


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("llama3.2:3b", "llama3.2:3b"),
        ("../models/Meta-Llama-3.1-8B-Q4_K_M.gguf", "Meta-Llama-3.1-8B-Q4_K_M"),
        ("/home/electrons/weights/tiny/", "tiny"),
        (r"C:\Users\ann\tiny.gguf", "tiny"),
        ("~/tiny.gguf", "tiny"),
        ("tiny.gguf", "tiny"),
        ("/", "model"),
    ],
)
def test_a_folder_of_this_machine_is_nobodys_business(model_id: str, name: str) -> None:
    assert public_name(model_id) == name


@pytest.mark.parametrize(
    ("name", "quantisation"),
    [
        ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen3-0.6b-iq2_xxs", "IQ2_XXS"),
        ("mistral-7b-AWQ", "AWQ"),
        ("gemma-bf16.gguf", "BF16"),
        ("llama3.2:3b", ""),
        ("Q4ever", ""),
    ],
)
def test_quantisation_is_read_out_of_names(name: str, quantisation: str) -> None:
    assert quantisation_of(name) == quantisation


def test_models_that_write_no_text_are_left_out() -> None:
    decider = {"id": "d", "architecture": {"output_modalities": ["decisions"]}}
    seer = {"id": "v", "architecture": {"input_modalities": ["text", "image"]}}
    cards = read_cards({"data": [decider, seer, {"id": 5}, "x", None]}, "openai", features=())
    assert [(card.id, card.ref.features) for card in cards] == [("v", ("vision",))]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["data", "id", "architecture"]), inner, max_size=3)
        ),
    )
)
def test_pages_of_nonsense_do_no_harm(payload: Any) -> None:
    read_cards(payload, "openai")
    for one in FINGERPRINTS:
        assert one.matches(payload) in (True, False)


def test_load_is_read_from_metrics() -> None:
    text = wire.vllm_metrics("m", 3, 4, cache_tokens=65536)
    assert metric(text, "vllm:num_requests_running") == 3
    assert metric(text, "vllm:num_requests_waiting") == 4
    assert metric(text, "vllm:num_requests") is None
    assert metric('a NaN\nb{x="1"} 2\nb{x="2"} 3.0', "b") == 5
    assert metric("a NaN", "a") is None
    assert vllm_slots(text, 131072) == 16
    assert vllm_slots(text, 2048) == 32
    assert vllm_slots("", 4096) == VLLM_SLOTS


def test_features_of_llama_cpp() -> None:
    assert llama_features({}) == ("tools", "json", "logprobs")
    props = {"chat_template_caps": {"supports_tools": False}, "modalities": {"vision": True}}
    assert llama_features(props) == ("json", "logprobs", "vision")


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), ("12", 12), (-1, 0), (None, 0), (True, 1), (1 << 80, 0), ("x", 0), (2.5, 0)],
)
def test_counts_from_outside(value: object, number: int) -> None:
    assert whole(value) == number


PAGES: dict[str, dict[str, Any]] = {
    "koboldcpp": {
        "/api/extra/version": {"result": "KoboldCpp", "version": "1.80"},
        "/api/version": {"version": "0.7.0"},  # it imitates Ollama
        "/v1/models": {"data": [{"id": "koboldcpp/x", "owned_by": "koboldcpp"}]},
    },
    "ollama": {
        "/api/version": {"version": "0.13.5"},
        "/v1/models": {"data": [{"id": "llama3.2:3b", "owned_by": "library"}]},
    },
    "lmstudio": {
        "/api/v0/models": {
            "data": [{"id": "x", "state": "loaded", "compatibility_type": "gguf", "type": "llm"}]
        },
        "/v1/models": {"data": [{"id": "x", "owned_by": "organization_owner"}]},
    },
    "llama.cpp": {
        "/props": wire.llama_props("x", 4096, 1),
        "/v1/models": wire.llama_models("x", 4096),
    },
    "tgi": {
        "/info": {"model_id": "x", "max_concurrent_requests": 128, "version": "3.0"},
        "/v1/models": {"data": [{"id": "x", "owned_by": "x"}]},
    },
    "vllm": {"/v1/models": wire.vllm_models("x", 4096)},
    "openai": {"/v1/models": {"data": [{"id": "x", "owned_by": "someone"}]}},
}


@pytest.mark.parametrize("kind", PAGES)
def test_each_kind_is_told_by_its_own_page(kind: str) -> None:
    pages = PAGES[kind]
    first = next(one.kind for one in FINGERPRINTS if one.matches(pages.get(one.path)))
    assert first == kind


def test_the_ports_people_use_are_looked_at() -> None:
    assert {11434, 8080, 9931, 8000, 1234, 5001} <= set(PORTS)


def test_one_process_is_one_engine() -> None:
    owners = {1: 10, 2: 10, 3: 11, 4: 12}
    assert twins(owners, earlier=[], found=[1, 2, 3, 9]) == {2}
    assert twins(owners, earlier=[1], found=[2, 4]) == {2}
    assert twins({}, earlier=[1], found=[2, 3]) == frozenset()


def test_daemons_are_told_by_their_headers() -> None:
    assert is_daemon({b"x-electrons-node": b"0"})
    assert is_daemon({b"server": b"electrons"})
    assert not is_daemon({b"server": b"uvicorn"})
