"""`electrons gaps` and `electrons services` without a node: what they show and send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from node.cli.main import main

GAPS = {
    "coordinator": "ab" * 20,
    "note": "",
    "services": [
        {
            "service": "chat",
            "model": "big",
            "level": "critical",
            "wanted": 2,
            "providers": [],
            "reasons": ["needs 14 GiB of GPU memory", "no node holds\x1b[2J it"],
        },
        {"service": "tags", "model": "small", "level": "ok", "wanted": 1, "providers": ["a"]},
    ],
}
UNKNOWN = {
    "coordinator": None,
    "note": "no coordinator can be reached",
    "services": [{"service": "", "model": "demo", "level": "unknown", "providers": ["a", "b"]}],
}


class Asked(HTTPServer):
    """Answers every request with `answer` and keeps what was asked."""

    answer: Any = None
    asked: list[tuple[str, str, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: Asked

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
        data = json.dumps(self.server.answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_DELETE = _serve  # noqa: N815  http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def node() -> Iterator[Asked]:
    server = Asked(("127.0.0.1", 0), _Handler)
    server.asked = []
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(node: Asked, *words: str) -> int:
    return main([*words, "--url", f"http://127.0.0.1:{node.server_port}"])


def test_gaps_are_a_table_with_one_line_a_reason(
    node: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    node.answer = GAPS
    assert run(node, "gaps") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["critical", "chat", "big", "0", "of", "2", "needs", "14", "GiB", "of", "GPU", "memory"]  # fmt: skip  # noqa: E501
    assert lines[2].strip().startswith("no node holds")
    assert "\x1b" not in lines[2]
    assert lines[3].split() == ["ok", "tags", "small", "1", "of", "1"]


def test_gaps_without_a_coordinator_say_so(node: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer = UNKNOWN
    assert run(node, "gaps") == 0
    out, err = capsys.readouterr()
    assert err == "no coordinator can be reached\n"
    assert out.splitlines()[1].split() == ["unknown", "-", "demo", "2"]


def test_gaps_as_json_are_the_apis_answer(node: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer = GAPS
    assert run(node, "gaps", "--json") == 0
    assert json.loads(capsys.readouterr().out) == GAPS


def test_a_service_is_declared_by_put(node: Asked) -> None:
    words = "--model m --engine llama.cpp --priority 0 --replicas 2 --gpu-memory 16GiB"
    assert run(node, "services", "set", "chat", *words.split()) == 0
    assert node.asked == [
        (
            "PUT",
            "/api/services/chat",
            {
                "model": "m",
                "engine": "llama.cpp",
                "priority": 0,
                "min_replicas": 2,
                "gpu_memory": 16 * 2**30,
            },
        )
    ]


def test_a_service_is_removed_by_delete(node: Asked) -> None:
    assert run(node, "services", "remove", "a/b") == 0
    assert node.asked == [("DELETE", "/api/services/a%2Fb", None)]


def test_services_are_listed(node: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    node.answer = {"services": [{"name": "chat", "model": "m", "engine": "", "priority": 1}]}
    assert run(node, "services") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["chat", "m", "any", "1"]
    node.answer = {"services": []}
    run(node, "services", "list")
    assert capsys.readouterr().out == "no service is declared\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["set", "chat"], "--model"),
        (["set"], "NAME"),
        (["remove"], "NAME"),
        (["set", "chat", "--model", "m", "--memory", "lots"], "--memory"),
    ],
)
def test_wrong_usage_names_what_is_missing(
    node: Asked, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert run(node, "services", *words) == 2
    assert named in capsys.readouterr().err
    assert node.asked == []
