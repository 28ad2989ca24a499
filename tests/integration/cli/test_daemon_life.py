"""How a daemon starts and ends: real processes, signals, folders; a staged node inside."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.storage.lock import is_locked
from mesh.storage.run_file import RUN_FILE, read_run_file
from tests.integration.cli.conftest import ROOT, Stage

ELECTRONS = (sys.executable, "-m", "node.cli.main")


def electrons(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ELECTRONS, *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_ready_line_and_the_run_file_tell_the_same(stage: Stage) -> None:
    daemon = stage("calm", "--json")
    ready = json.loads(daemon.first_line())
    info = read_run_file(daemon.folder)
    assert info is not None
    assert ready["node_id"] == info.node_id
    assert ready["http"] == info.url
    assert ready["mesh"] == info.mesh
    assert ready["pid"] == info.pid == daemon.process.pid
    assert ready["state"] == "first"
    assert (daemon.folder / RUN_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_drains_stops_and_leaves_nothing(stage: Stage, number: signal.Signals) -> None:
    daemon = stage("calm", "--json")
    daemon.first_line()
    daemon.signal(number)
    assert daemon.ends_with() == 0
    assert (
        daemon.log.index("draining\n") < daemon.log.index("drained") < daemon.log.index("stopped")
    )
    assert not (daemon.folder / RUN_FILE).exists()
    assert not is_locked(daemon.folder)
    assert "Traceback" not in daemon.log


def test_a_second_interrupt_does_not_wait_for_the_drain(stage: Stage) -> None:
    daemon = stage("stuck-drain", "--json")
    daemon.first_line()
    daemon.signal(signal.SIGINT)
    daemon.hear("draining\n")
    daemon.signal(signal.SIGINT)
    assert daemon.ends_with() == 130
    assert "drained" not in daemon.log
    assert not (daemon.folder / RUN_FILE).exists()


@pytest.mark.parametrize("scene", ["stuck-drain", "stuck-thread"])
def test_what_hangs_does_not_outlive_the_deadline(stage: Stage, scene: str) -> None:
    daemon = stage(scene, "--json")
    daemon.first_line()
    daemon.signal(signal.SIGTERM)
    assert daemon.ends_with() == 1
    assert not (daemon.folder / RUN_FILE).exists()
    assert not is_locked(daemon.folder)


def test_a_signal_during_start_ends_it(stage: Stage) -> None:
    daemon = stage("slow-start", "--json")
    daemon.hear("starting")
    daemon.signal(signal.SIGINT)
    assert daemon.ends_with() == 0
    assert daemon.first_line() == ""
    assert "stopped" in daemon.log
    assert "Traceback" not in daemon.log


def test_a_node_that_fails_ends_the_daemon_with_a_reason(stage: Stage) -> None:
    daemon = stage("fails", "--json")
    assert daemon.ends_with() == 1
    assert "the node failed and stops: the mesh port was lost" in daemon.log
    assert "stopped" in daemon.log


def test_a_killed_daemon_leaves_a_folder_that_can_be_used(stage: Stage) -> None:
    first = stage("calm", "--json")
    first.first_line()
    first.process.kill()
    first.ends_with()
    assert (first.folder / RUN_FILE).exists()
    assert electrons("status", "--data-dir", first.folder).returncode == 3
    second = stage("calm", "--json")
    assert json.loads(second.first_line())["pid"] == second.process.pid


def test_a_second_daemon_on_the_folder_is_told_so(stage: Stage) -> None:
    first = stage("calm", "--json")
    first.first_line()
    second = stage("calm", "--json")
    assert second.ends_with() == 1
    assert f"in use by a running node (process {first.process.pid})" in second.log
    assert "Traceback" not in second.log
    assert (first.folder / RUN_FILE).exists()


def test_a_taken_port_is_named_with_its_flag(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = stage("calm", "--http", address)
        assert daemon.ends_with() == 1
    assert f"--http {address} is in use by another program: choose another port" in daemon.log
    assert "Traceback" not in daemon.log
    assert "stopped" in daemon.log


@pytest.mark.parametrize(
    ("scene", "words"),
    [("full-disk", "is full: free some space"), ("no-interface", "is not an address of this")],
)
def test_the_systems_refusals_become_sentences(stage: Stage, scene: str, words: str) -> None:
    daemon = stage(scene)
    assert daemon.ends_with() == 1
    assert words in daemon.log
    assert "Traceback" not in daemon.log


def test_a_wrong_setting_ends_it_before_anything_is_made(stage: Stage) -> None:
    daemon = stage("calm", "--slots", "many")
    assert daemon.ends_with() == 2
    assert "--slots: 'many' is not usable; give a whole number from 1 to 4096" in daemon.log
    assert not daemon.folder.exists()


def test_the_banner_says_what_to_do_next(stage: Stage) -> None:
    daemon = stage("calm")
    assert daemon.process.stdout is not None
    assert daemon.first_line().startswith("electrons ")
    lines = [daemon.first_line() for _ in range(9)]
    assert any("/v1/chat/completions" in line for line in lines)


def test_stop_ends_it_and_waits(stage: Stage) -> None:
    daemon = stage("calm", "--json")
    daemon.first_line()
    result = electrons("stop", "--data-dir", daemon.folder, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["stopped"] == daemon.process.pid
    assert daemon.ends_with() == 0


def test_stop_gives_up_after_its_timeout(stage: Stage) -> None:
    daemon = stage("stuck-drain", "--json")
    daemon.first_line()
    result = electrons("stop", "--data-dir", daemon.folder, "--timeout", "0.1")
    assert result.returncode == 1
    assert f"process {daemon.process.pid} still runs after 0.1 s" in result.stderr


def test_stop_without_a_daemon_says_so(tmp_path: Path) -> None:
    result = electrons("stop", "--data-dir", tmp_path)
    assert result.returncode == 3
    assert result.stderr == f"electrons: no node runs in {tmp_path}\n"


def test_stop_does_not_signal_a_pid_that_does_not_hold_the_folder(stage: Stage) -> None:
    daemon = stage("calm", "--json")
    daemon.first_line()
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (daemon.folder / "lock").write_text(f"{bystander.pid}\n")
        result = electrons("stop", "--data-dir", daemon.folder)
        assert result.returncode == 1
        assert "not by a process that can be told from here" in result.stderr
        assert bystander.poll() is None
        assert daemon.process.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
