"""`electrons pause`, `resume`, `drain` and `limits` against a real node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import PATIENCE, ROOT

COMMAND = (sys.executable, "-m", "node.cli.main")
ALONE = ("--http", "127.0.0.1:0", "--mesh", "127.0.0.1:0", "--no-mdns", "--network", "cli-owner")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The data folder of one running node, for all tests of this file."""
    folder = tmp_path_factory.mktemp("owned") / "data"
    command = [*COMMAND, "up", "--json", "--data-dir", str(folder), *ALONE, "--engine", "demo"]
    with (
        (folder.parent / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--slots", "4"], cwd=ROOT, stdout=subprocess.PIPE, stderr=log
        ) as node,
    ):
        assert node.stdout is not None
        assert json.loads(node.stdout.readline())["models"] == ["demo"]
        yield str(folder)
        node.terminate()
        assert node.wait(PATIENCE) == 0


def electrons(folder: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words, "--data-dir", folder],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def status(folder: str) -> dict[str, str]:
    lines = electrons(folder, "status").stdout.splitlines()
    return {line[:12].strip(): line[12:].strip() for line in lines}


def test_paused_until_resumed(folder: str) -> None:
    paused = electrons(folder, "pause")
    assert paused.returncode == 0, paused.stderr
    assert paused.stdout == "takes jobs: no: paused by its owner; what runs is finished\n"
    assert status(folder)["takes jobs"] == "no: paused by its owner"
    refused = electrons(folder, "generate", "hello")
    assert refused.returncode == 4
    assert electrons(folder, "resume").stdout == "takes jobs: yes\n"
    assert electrons(folder, "generate", "hello").returncode == 0


def test_paused_for_a_time(folder: str) -> None:
    answer = json.loads(electrons(folder, "pause", "--for", "2h", "--json").stdout)
    assert answer["reason"] == "paused by its owner"
    assert answer["until"]
    assert status(folder)["takes jobs"].startswith("no: paused by its owner, until ")
    electrons(folder, "resume")


def test_drained_and_still_there(folder: str) -> None:
    drained = electrons(folder, "drain", "--json", "--timeout", "10")
    assert json.loads(drained.stdout)["drained"] is True
    assert status(folder)["takes jobs"] == "no: paused by its owner"
    electrons(folder, "resume")


def test_limits_are_changed_shown_and_kept(folder: str) -> None:
    assert electrons(folder, "limits").stdout == "4 jobs at once\n"
    changed = electrons(folder, "limits", "--slots", "1", "--gpu-memory", "8GiB")
    assert changed.stdout == "1 job at once, 8.0 GiB graphics memory\n"
    assert status(folder)["limits"] == "1 job at once, 8.0 GiB graphics memory"
    kept = json.loads((Path(folder) / "owner.json").read_text())
    assert kept["limits"] == {"slots": 1, "gpu_memory": 8 * 2**30}
    back = electrons(folder, "limits", "--slots", "default", "--gpu-memory", "default", "--json")
    assert json.loads(back.stdout) == {"slots": 4, "memory": None, "gpu_memory": None}


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("pause", "--for", "soon"), "30m"),
        (("pause", "--for", "0s"), "30m"),
        (("limits", "--slots", "0"), "from 1 to 4096, or default"),
        (("limits", "--memory", "lots"), "4GiB"),
    ],
)
def test_wrong_values_are_told_apart_from_failures(
    folder: str, words: tuple[str, ...], allowed: str
) -> None:
    result = electrons(folder, *words)
    assert result.returncode == 2
    assert allowed in result.stderr
    assert result.stderr.count("\n") == 1


def test_without_a_node_it_says_so(tmp_path: Path) -> None:
    for command in ("pause", "resume", "drain", "limits"):
        assert electrons(str(tmp_path / "none"), command).returncode == 3
