"""JSON out of what models really write."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.gateway.json_answer import extract, find_json, mend

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=10,
)
documents = st.dictionaries(st.text(max_size=6), values) | st.lists(values)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ('```json\n{"name": "test"}\n```', '{"name":"test"}'),
        ("Sure!\n```\n[1, 2]\n```\nBye", "[1,2]"),
        ('The answer is {"a": [1, {"b": 2}]} I think.', '{"a":[1,{"b":2}]}'),
        (" [1] ", "[1]"),
        ('"just text"', '"just text"'),
    ],
)
def test_json_is_found_in_prose(reply: str, text: str) -> None:
    found = find_json(reply, repair=False)
    assert (found.text, found.reason, found.repaired) == (text, "", False)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ('{"a": 1,}', '{"a":1}'),
        ('{"a": [1, 2', '{"a":[1,2]}'),
        ('[{"a": "x,}",},]', '[{"a":"x,}"}]'),
        ('{"a": {"b": 1},', '{"a":{"b":1}}'),
    ],
)
def test_small_breaks_are_mended(reply: str, text: str) -> None:
    assert find_json(reply, repair=False).reason
    found = find_json(reply, repair=True)
    assert (found.text, found.repaired) == (text, True)


@pytest.mark.parametrize("reply", ["nope", "", "{", '{"a": }', "[" * 100])
def test_what_cannot_be_mended_says_why(reply: str) -> None:
    assert find_json(reply, repair=reply != "{").reason


@given(documents, st.text(alphabet="abc \n", max_size=20))
def test_a_document_survives_prose_around_it(document: object, prose: str) -> None:
    text = orjson.dumps(document).decode()
    assert find_json(f"{prose}{text}{prose}", repair=False).text == text
    assert mend(text) == text


@given(st.text(max_size=80))
def test_no_reply_breaks_the_search(reply: str) -> None:
    found = find_json(reply, repair=True)
    assert bool(found.text) != bool(found.reason)
    assert isinstance(extract(reply), str)
