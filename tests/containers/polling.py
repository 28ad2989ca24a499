"""Waits for something to become true in another process."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

from tests.containers.podman import PodmanFailed

T = TypeVar("T")

NOT_YET = (OSError, http.client.HTTPException, ValueError, PodmanFailed)
"""What a container that is still starting answers with."""


def wait_for(look: Callable[[], T], *, what: str, seconds: float = 60.0) -> T:
    """The first true result of `look`. Fails with the last result or error after `seconds`."""
    deadline = time.monotonic() + seconds
    seen: object = None
    while time.monotonic() < deadline:
        try:
            found = look()
            if found:
                return found
            seen = found
        except NOT_YET as error:
            seen = error
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:g} s; last seen: {seen!r}")


def get_json(url: str) -> Any:
    """The JSON behind a URL, whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


def chat(base: str, content: str, *, timeout: float = 60.0) -> tuple[str, str]:
    """One chat completion of any model: its text, and the id of the node that made it."""
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 24,
    }
    request = urllib.request.Request(
        f"{base}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        text: str = json.load(answer)["choices"][0]["message"]["content"]
        return text, answer.headers["x-electrons-node"]
