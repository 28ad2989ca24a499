"""`electrons demo`: what it proves, and that nothing outlives it."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
import pytest

from tests.integration.cli.conftest import PATIENCE, ROOT

COMMAND = [sys.executable, "-m", "node.cli.main", "demo"]


@pytest.mark.timeout(120)
def test_the_demo_serves_two_generations_and_survives_a_worker_killed_midway() -> None:
    result = subprocess.run(
        [*COMMAND, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    gateway, *workers = report["nodes"]
    assert gateway["models"] == []
    assert [worker["models"] for worker in workers] == [["demo"], ["demo"]]
    first, second = report["generations"]
    for generation in (first, second):
        assert generation["asked"]["node_id"] == gateway["node_id"]
        assert generation["served"]["pid"] != gateway["pid"]
        assert generation["text"].strip()
    assert "owl" in first["text"]
    assert first["resumed"] == 0 and second["resumed"] == 1
    assert report["killed"] in {worker["node_id"] for worker in workers}
    assert report["killed"] != second["served"]["node_id"]
    assert not [node for node in report["nodes"] if psutil.pid_exists(node["pid"])]


@pytest.mark.timeout(120)
def test_a_killed_demo_takes_its_nodes_along() -> None:
    with subprocess.Popen(
        [*COMMAND, "--keep"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        assert any("until Ctrl-C" in line for line in demo.stderr)
        nodes = psutil.Process(demo.pid).children(recursive=True)
        assert len(nodes) >= 3
        demo.kill()
    _, alive = psutil.wait_procs(nodes, timeout=PATIENCE)
    assert alive == []


@pytest.mark.timeout(120)
def test_a_kept_demo_names_its_urls_and_ends_with_ctrl_c() -> None:
    with subprocess.Popen(
        [*COMMAND, "--keep"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        lines = iter(demo.stderr)
        assert any("until Ctrl-C" in line for line in lines)
        urls = [next(lines) for _ in "ABC"]
        nodes = psutil.Process(demo.pid).children(recursive=True)
        demo.terminate()
        assert demo.wait(PATIENCE) == 0
    assert all("http://127.0.0.1:" in line for line in urls)
    _, alive = psutil.wait_procs(nodes, timeout=PATIENCE)
    assert alive == []
