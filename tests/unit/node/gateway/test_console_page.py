"""The page at `/` stands alone: nothing from elsewhere, nothing that is not served here."""

from __future__ import annotations

import re

import orjson

from node.console.page import console_page
from node.gateway.openapi import openapi_document


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = console_page().decode()
    addresses = set(re.findall(r"(?:https?:)?//[^\s'\"<>`)]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img)[^>]+src=", page)


def test_every_path_it_asks_for_is_served() -> None:
    asked = set(re.findall(r"[\"'`](/[a-z][\w/.]*)[\"'`]", console_page().decode()))
    served = set(orjson.loads(openapi_document())["paths"])
    assert asked
    assert asked <= served


def test_texts_from_the_mesh_are_never_read_as_html() -> None:
    page = console_page().decode()
    assert not re.search(r"innerHTML|insertAdjacentHTML|outerHTML|document\.write|eval\(", page)


def test_it_fits_in_one_small_response() -> None:
    assert len(console_page()) < 32 * 1024
