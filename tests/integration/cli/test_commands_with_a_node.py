"""The commands against a real node that runs the demo model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.storage.run_file import read_run_file
from tests.integration.cli.conftest import PATIENCE, ROOT

COMMAND = (sys.executable, "-m", "node.cli.main")
ALONE = ("--http", "127.0.0.1:0", "--mesh", "127.0.0.1:0", "--no-mdns", "--network", "cli-tests")
STORY = "Tell me a story about an owl."


def electrons(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The data folder of one running node, for all tests of this file."""
    folder = tmp_path_factory.mktemp("node") / "data"
    flags = ("--engine", "demo", "--roles", "gateway,worker,storage", "--alias", "gpt-4o-mini=demo")
    command = [*COMMAND, "up", "--json", "--data-dir", str(folder), *ALONE, *flags]
    with (
        (folder.parent / "log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log) as node,
    ):
        assert node.stdout is not None
        ready = json.loads(node.stdout.readline())
        assert ready["models"] == ["demo"]
        yield str(folder)
        node.terminate()
        assert node.wait(PATIENCE) == 0


def test_status_shows_the_node(folder: str) -> None:
    result = electrons("status", "--data-dir", folder)
    assert result.returncode == 0, result.stderr
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["state"] == "first"
    assert lines["roles"] == "gateway, worker"
    assert lines["models"].startswith("demo (demo, ")
    assert lines["aliases"] == "gpt-4o-mini -> demo"
    assert "cores" in lines["hardware"]
    assert lines["not"].split(maxsplit=1) == [
        "built",
        "storage: not in this release, not advertised",
    ]


def test_status_as_json_is_what_the_api_says(folder: str) -> None:
    answer = json.loads(electrons("status", "--json", "--data-dir", folder).stdout)
    info = read_run_file(Path(folder))
    assert info is not None
    assert answer["node_id"] == info.node_id
    assert answer["unbuilt_roles"] == ["storage"]


def test_models_and_peers_are_listed(folder: str) -> None:
    models = electrons("models", "--data-dir", folder).stdout.splitlines()
    assert models[0].split()[:3] == ["MODEL", "NODES", "ENGINE"]
    assert models[1].split()[:3] == ["demo", "1", "demo"]
    assert electrons("peers", "--data-dir", folder).stdout == "no other node known\n"
    assert json.loads(electrons("peers", "--json", "--data-dir", folder).stdout) == {"peers": []}


def test_generate_writes_the_answer_and_names_the_node(folder: str) -> None:
    info = read_run_file(Path(folder))
    assert info is not None
    result = electrons("generate", STORY, "--data-dir", folder, "--temperature", "0")
    assert result.returncode == 0, result.stderr
    assert "owl" in result.stdout
    assert result.stderr.startswith(f"served by {info.node_id}, first text after ")


def test_generate_as_json_says_the_same_at_temperature_zero(folder: str) -> None:
    words = ("generate", STORY, "--temperature", "0", "--max-tokens", "12", "--data-dir", folder)
    result = electrons(*words, "--json", "--model", "gpt-4o-mini")
    answer = json.loads(result.stdout)
    assert electrons(*words).stdout == answer["text"] + "\n"
    assert answer["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 12


def test_generate_reads_the_prompt_from_standard_input(folder: str) -> None:
    result = electrons("generate", "-", "--max-tokens", "3", "--data-dir", folder, input=STORY)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_generate_names_who_may_see_the_prompt(folder: str) -> None:
    words = ("generate", STORY, "--max-tokens", "2", "--data-dir", folder, "--privacy")
    assert electrons(*words, "own").returncode == 0
    assert electrons(*words, "secret").returncode == 2


def test_an_unknown_model_is_a_failed_job_with_the_closest_name(folder: str) -> None:
    result = electrons("generate", STORY, "--model", "demoo", "--data-dir", folder)
    assert result.returncode == 4
    assert result.stdout == ""
    assert result.stderr.startswith("electrons: ")
    assert "demo" in result.stderr.replace("demoo", "")
    assert "Traceback" not in result.stderr


def test_any_nodes_url_will_do(folder: str) -> None:
    info = read_run_file(Path(folder))
    assert info is not None
    result = electrons("status", "--json", "--url", info.url)
    assert json.loads(result.stdout)["node_id"] == info.node_id


def test_a_node_that_wants_a_key_says_how_to_give_it(tmp_path: Path) -> None:
    flags = ("--data-dir", str(tmp_path), *ALONE, "--engine", "none", "--access", "keys")
    with subprocess.Popen(
        [*COMMAND, "up", "--json", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "ELECTRONS_API_KEYS": "sesame"},
    ) as node:
        assert node.stdout is not None
        url = json.loads(node.stdout.readline())["http"]
        refused = electrons("status", "--url", url)
        admitted = electrons("status", "--url", url, env={**os.environ, "ELECTRONS_KEY": "sesame"})
        local = electrons("status", "--data-dir", str(tmp_path))
        node.terminate()
    assert refused.returncode == 1
    assert f"the node at {url} wants a key: give --key or set ELECTRONS_KEY" in refused.stderr
    assert admitted.returncode == local.returncode == 0


def test_chat_remembers_and_leaves_at_the_end_of_input(folder: str) -> None:
    lines = f"{STORY}\n/who\nTell me another.\n"
    result = electrons("chat", "--max-tokens", "8", "--data-dir", folder, input=lines)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("> ") == len(["story", "who", "another", "end"])
    assert "served by" in result.stderr


def test_an_interrupted_generation_ends_quietly(folder: str) -> None:
    words = (*COMMAND, "generate", STORY, "--max-tokens", "400", "--data-dir", folder)
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        # It may have ended by itself on a fast machine before the signal came.
        assert process.wait(PATIENCE) in (130, 0)
    assert "Traceback" not in errors


def test_a_second_node_on_the_folder_is_refused(folder: str) -> None:
    result = electrons("up", "--data-dir", folder, *ALONE, "--engine", "none")
    assert result.returncode == 1
    assert "is in use by a running node" in result.stderr


def test_taken_ports_are_named(folder: str, tmp_path: Path) -> None:
    info = read_run_file(Path(folder))
    assert info is not None
    base = ("up", "--data-dir", str(tmp_path), "--no-mdns", "--engine", "none")
    http = info.url.removeprefix("http://")
    result = electrons(*base, "--mesh", "127.0.0.1:0", "--http", http)
    assert result.returncode == 1
    assert f"--http {http} is in use by another program" in result.stderr
    result = electrons(*base, "--http", "127.0.0.1:0", "--mesh", info.mesh)
    assert result.returncode == 1
    assert f"--mesh {info.mesh} is in use by another program" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unusable_key_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "node.key").mkdir()
    result = electrons("up", "--data-dir", str(tmp_path), *ALONE, "--engine", "none")
    assert result.returncode == 1
    assert str(tmp_path / "node.key") in result.stderr
    assert result.stderr.startswith("electrons: ")
    assert result.stderr.count("\n") == 1


LIMIT = (
    "import os, resource, sys; size = int(sys.argv[1]);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size));"
    "os.execv(sys.executable, [sys.executable, '-m', 'node.cli.main', *sys.argv[2:]])"
)


@pytest.mark.parametrize(("room", "file"), [(0, "lock"), (8, "node.key")])
def test_without_room_for_its_files_it_says_so(tmp_path: Path, room: int, file: str) -> None:
    """A limit on file size stands in for a full disk: the kernel refuses the same writes."""
    words = ("up", "--data-dir", str(tmp_path), *ALONE, "--engine", "none")
    result = subprocess.run(
        [sys.executable, "-c", LIMIT, str(room), *words],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("electrons: ")
    assert str(tmp_path / file) in result.stderr
    assert "(File too large)" in result.stderr
    assert "space" in result.stderr
    assert result.stderr.count("\n") == 1


def test_why_tells_what_happened_to_a_request(folder: str) -> None:
    info = read_run_file(Path(folder))
    assert info is not None
    body = json.dumps({"model": "demo", "prompt": STORY, "max_tokens": 4}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {info.token}"}
    request = urllib.request.Request(f"{info.url}/v1/completions", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        request_id = response.headers["x-request-id"]
    told = electrons("why", request_id, "--data-dir", folder)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("The request for demo was answered in full after 1 offer.")
    assert "took it" in told.stdout
    assert "owl" not in told.stdout
    answer = json.loads(electrons("why", request_id, "--json", "--data-dir", folder).stdout)
    assert answer["outcome"] == "finished"
    assert answer["steps"][0]["candidates"][0]["node"] == info.node_id


def test_why_says_what_to_do_about_an_unknown_request(folder: str) -> None:
    result = electrons("why", "unheard-of", "--data-dir", folder)
    assert result.returncode == 1
    assert "ask the one that answered it" in result.stderr
