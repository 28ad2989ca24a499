"""What `electrons up` says."""

from __future__ import annotations

import json
from dataclasses import replace

from node.banner import Banner, ready_line, render_banner

BANNER = Banner(
    node_id="ab" * 20,
    http="http://127.0.0.1:7717",
    mesh="0.0.0.0:7718",
    state="first",
    network="local",
    join=f"{'ab' * 20}@10.0.0.5:7718",
    hardware="2 cores, 8 GiB memory",
    models=("demo",),
    notes=("role relay is not built yet and not advertised",),
)


def test_the_ready_line_is_one_line_of_json() -> None:
    line = ready_line(BANNER, 4711, "0.1.0")
    assert "\n" not in line
    facts = json.loads(line)
    assert facts["node_id"] == "ab" * 20
    assert facts["http"] == "http://127.0.0.1:7717"
    assert facts["mesh"] == "0.0.0.0:7718"
    assert facts["pid"] == 4711
    assert facts["state"] == "first"


def test_the_banner_says_what_runs_and_what_to_do() -> None:
    text = render_banner(BANNER, "0.1.0")
    for fact in (
        "ab" * 20,
        "local (first of its network: no other node was found)",
        "http://127.0.0.1:7717",
        "2 cores, 8 GiB memory",
        "demo",
        "role relay is not built yet",
        "curl -N http://127.0.0.1:7717/v1/chat/completions",
        f"electrons up --join {'ab' * 20}@10.0.0.5:7718",
    ):
        assert fact in text
    assert len(text.splitlines()) < 20


def test_nothing_is_promised_that_is_not_there() -> None:
    text = render_banner(Banner("ab", "http://h", "m:1", "isolated"), "0.1.0")
    assert "--join" not in text
    assert "none here" in text


def test_commands_that_need_it_are_given_the_data_folder() -> None:
    assert 'electrons generate "Hello"' in render_banner(BANNER, "0.1.0")
    text = render_banner(BANNER, "0.1.0", flags="--data-dir /srv/b")
    assert 'electrons generate --data-dir /srv/b "Hello"' in text


def test_an_address_of_this_machine_is_not_offered_to_others() -> None:
    text = render_banner(replace(BANNER, join="ab@127.0.0.1:7718"), "0.1.0")
    assert "another machine" not in text
    assert "electrons up --join ab@127.0.0.1:7718 --data-dir ANOTHER" in text
