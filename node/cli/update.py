"""`electrons update`: another release takes over, and goes back when it is not healthy."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from mesh.errors import ElectronsError
from mesh.storage.format import backup_of, read_format, restore
from mesh.storage.lock import holder, is_locked
from mesh.storage.run_file import RunInfo, read_run_file
from node.cli.client import Api
from node.cli.exit_code import ExitCode
from node.cli.no_daemon import NoDaemon
from node.cli.service import is_service, restart_service
from node.cli.stop import find_process
from node.cli.terminal import remark, say, say_json
from node.config_sources import find_data_dir
from node.daemon import HAND_OVER_SECONDS
from node.release import (
    Release,
    check_release,
    install_release,
    point_current,
    remove_old_releases,
)
from node.succession import name_successor

EXAMPLES = """\
examples:
  electrons update                        the newest release pip finds
  electrons update distributed-electrons==0.2.0
  electrons update ./dist/distributed_electrons-0.2.0-py3-none-any.whl
  electrons update --executable ~/.venvs/new/bin/electrons

The node finishes what it promised, keeps its ports open and becomes the new release. If that is not
healthy in time, the old one is started again with the data it had."""

DEFAULT_SOURCE = "distributed-electrons"
PAUSE = 0.05
LOG_FILE = "daemon.log"
"""Takes the output of a release that is started again after a failure."""


@dataclass(frozen=True, slots=True)
class _Running:
    """The daemon that is to be replaced."""

    folder: Path
    info: RunInfo
    pid: int
    format: int
    healthy: bool
    """Whether it was: a successor need not be better."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "source", nargs="?", default=DEFAULT_SOURCE, help="what pip installs (default: %(default)s)"
    )
    parser.add_argument("--executable", metavar="FILE", help="an installed electrons instead")
    parser.add_argument("--data-dir", metavar="DIR", help="data folder of the node")
    parser.add_argument(
        "--health-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="the new release must be healthy by then (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Install, hand over, watch, and roll back if need be."""
    if sys.platform == "win32":
        raise ElectronsError("on Windows, stop the node, install the release, and start it again")
    running = _find_running(find_data_dir(args.data_dir))
    if args.executable is not None:
        release = check_release(Path(args.executable).expanduser())
    else:
        remark(f"installing {args.source} beside {running.info.version or 'the running release'}")
        release = install_release(running.folder, args.source)
    remark(f"handing over to {release.version}: what runs is finished first")
    point_current(running.folder, release.executable)
    problem = _replace(running, release, args.health_timeout)
    if problem:
        _roll_back(running, problem, args.health_timeout)
        raise ElectronsError(
            f"{release.version} {problem}; {running.info.version or 'the old release'} runs again"
        )
    remove_old_releases(running.folder, release.executable, _program(running))
    facts = {"from": running.info.version, "to": release.version, "pid": running.pid}
    if args.json:
        say_json(facts)
    else:
        say(f"updated {facts['from']} to {facts['to']}, process {running.pid} serves on")
    return ExitCode.OK


def _find_running(folder: Path) -> _Running:
    pid = find_process(folder)
    info = read_run_file(folder)
    if info is None:
        raise NoDaemon(f"the node in {folder} is still starting: try again in a moment")
    healthy = not _unwell(Api(info.url, info.token), info.version)
    return _Running(folder, info, pid, read_format(folder), healthy)


def _program(running: _Running) -> Path:
    return Path((shlex.split(running.info.command) or [""])[0])


def _replace(running: _Running, release: Release, patience: float) -> str:
    """Why the successor is no good; "" when it serves."""
    name_successor(running.folder, release.executable)
    os.kill(running.pid, signal.SIGUSR2)
    handed = _wait(lambda: _token(running.folder) != running.info.token, HAND_OVER_SECONDS + 10)
    if not handed:
        return "was not handed over to"
    return _await_health(running, release.version, patience)


def _await_health(running: _Running, version: str, patience: float) -> str:
    deadline = time.monotonic() + patience
    problem = "did not come up"
    while time.monotonic() < deadline:
        info = read_run_file(running.folder)
        if info is not None and info.token != running.info.token:
            problem = _unwell(Api(info.url, info.token), version, health=running.healthy)
            if not problem:
                return ""
        elif not is_locked(running.folder) and _gone(running.pid):
            return "ended at its start; its log says why"
        time.sleep(PAUSE)
    return problem


def _unwell(api: Api, version: str, *, health: bool = True) -> str:
    try:
        node = api.get("/api/node")
        if health:
            api.get("/health")
    except ElectronsError as error:
        return f"is not healthy ({error})"
    return "" if node["version"] == version else f"says it is {node['version']}"


def _roll_back(running: _Running, problem: str, patience: float) -> None:
    remark(f"the new release {problem}: going back")
    folder = running.folder
    (folder / "successor").unlink(missing_ok=True)
    if is_locked(folder) and _token(folder) == running.info.token:
        point_current(folder, _program(running))
        return  # the old one never stopped
    service = is_service(running.pid)
    _end(running)
    if read_format(folder) != running.format:
        copy = backup_of(folder, running.format)
        if copy is None:
            raise ElectronsError(f"{folder} was migrated and the copy made before is missing")
        restore(folder, copy)
    point_current(folder, _program(running))
    if service:
        restart_service()
    elif not is_locked(folder):
        _start_old(running)
    if not _wait(lambda: _token(folder) not in (None, running.info.token), patience):
        raise ElectronsError(f"the old release does not start either: see {folder / LOG_FILE}")


def _end(running: _Running) -> None:
    """Stop the successor, which is not healthy, whatever it is doing."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        pid = holder(running.folder) if is_locked(running.folder) else None
        if pid is None:
            return
        os.kill(pid, number)
        if _wait(lambda: not is_locked(running.folder), 10.0):
            return


def _start_old(running: _Running) -> None:
    log = running.folder / LOG_FILE
    with log.open("ab") as output:
        subprocess.Popen(
            shlex.split(running.info.command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _token(folder: Path) -> str | None:
    info = read_run_file(folder)
    return None if info is None else info.token


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True
