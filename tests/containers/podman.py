"""Calls podman with a storage of the suite's own: no test sees or leaves images of a user."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds for one call; a build gets more."""
BUILD_PATIENCE = 600.0


class PodmanFailed(AssertionError):
    """A call ended with another status than 0; the text holds its output."""


class Podman:
    """The podman command, with its settings in a folder of ours."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.environ = dict(os.environ) | write_settings(folder)

    def __call__(self, *words: str, timeout: float = PATIENCE) -> str:
        """Standard output without the last line end. Raises PodmanFailed."""
        done = self.attempt(*words, timeout=timeout)
        if done.returncode != 0:
            raise PodmanFailed(f"podman {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout.rstrip("\n")

    def attempt(self, *words: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """The same, whatever its status."""
        return subprocess.run(
            ["podman", *words], env=self.environ, capture_output=True, text=True, timeout=timeout
        )

    def compose(self, file: Path, project: str, *words: str, **variables: str) -> str:
        """`podman-compose`, which is among the development tools. Raises PodmanFailed."""
        program = Path(sys.executable).parent / "podman-compose"
        command = [str(program), "-p", project, "-f", str(file), *words]
        done = subprocess.run(
            command,
            env=self.environ | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode != 0:
            raise PodmanFailed(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def inspect(self, name: str, kind: str = "container") -> dict[str, Any]:
        """What podman knows about a container, image or network."""
        found: list[dict[str, Any]] = json.loads(self(kind, "inspect", name))
        return found[0]

    def execute(self, container: str, *words: str) -> str:
        """Standard output of a command inside a container. Raises PodmanFailed."""
        return self("exec", container, *words)


def is_installed() -> bool:
    """Whether containers can be run here at all."""
    return shutil.which("podman") is not None


def write_settings(folder: Path) -> dict[str, str]:
    """Storage and engine settings for this machine, as variables that podman reads."""
    storage, engine = folder / "storage.conf", folder / "containers.conf"
    storage.write_text(storage_settings(folder))
    variables = {"CONTAINERS_STORAGE_CONF": str(storage)}
    if "CONTAINERS_CONF" not in os.environ:
        limits = {
            "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            # podman lowers its own hard limit before it passes one on, so stay well below it.
            "nproc": min(4096, resource.getrlimit(resource.RLIMIT_NPROC)[1]),
        }
        systemd, runc = Path("/run/systemd/system").exists(), shutil.which("runc") is not None
        engine.write_text(engine_settings(limits, systemd=systemd, runc=runc))
        variables["CONTAINERS_CONF"] = str(engine)
    return variables


def storage_settings(folder: Path) -> str:
    """Overlay storage below the folder."""
    lines = ['driver = "overlay"', f'graphroot = "{folder}/graph"', f'runroot = "{folder}/run"']
    return "\n".join(["[storage]", *lines, ""])


def engine_settings(limits: Mapping[str, int], *, systemd: bool, runc: bool) -> str:
    """Ask for no more than the hard limits, and for nothing of systemd where there is none."""
    ulimits = [f'"{name}={most}:{most}"' for name, most in limits.items() if most > 0]
    lines = ["[containers]", f"default_ulimits = [{', '.join(ulimits)}]", "[engine]"]
    lines += ['runtime = "runc"'] if runc else []
    lines += [] if systemd else ['cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    return "\n".join([*lines, ""])
