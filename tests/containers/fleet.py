"""Containers, volumes and networks of one test, under names that no other test has."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from tests.containers.images import Images
from tests.containers.podman import Podman

HARDENED = (
    # As Docker does it: nothing but /tmp and the volume can be written.
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp"),
    *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
)


class Fleet:
    """What one test started. `close` removes it all, by id."""

    def __init__(self, podman: Podman, images: Images, prefix: str) -> None:
        self.images = images
        self.prefix = prefix
        self._podman = podman
        self._containers: list[Container] = []
        self._networks: list[str] = []
        self._volumes: list[str] = []

    def network(self) -> str:
        """A bridge of its own, on which container names resolve."""
        name = f"{self.prefix}-net{len(self._networks)}"
        self._podman("network", "create", name)
        self._networks.append(name)
        return name

    def volume(self) -> str:
        """An empty volume."""
        name = f"{self.prefix}-vol{len(self._volumes)}"
        self._podman("volume", "create", name)
        self._volumes.append(name)
        return name

    def run(self, *flags: str, command: tuple[str, ...] = ()) -> Container:
        """Start a node in the background; flags are podman's, the command is the node's."""
        name = f"{self.prefix}-{len(self._containers)}"
        words = ["run", "--detach", "--name", name, *flags, self.images.node_id, *command]
        container = Container(self._podman, self._podman(*words).splitlines()[-1])
        self._containers.append(container)
        return container

    def close(self) -> None:
        """Remove everything; the logs of what ran are printed for a failed test's report."""
        with contextlib.ExitStack() as stack:
            for name in self._networks:
                stack.callback(self._podman, "network", "rm", "--force", name)
            for name in self._volumes:
                stack.callback(self._podman, "volume", "rm", "--force", name)
            for container in self._containers:
                stack.callback(container.remove)


class Container:
    """One container with a node in it."""

    def __init__(self, podman: Podman, container_id: str) -> None:
        self.id = container_id
        self._podman = podman
        self._removed = False

    def execute(self, *words: str) -> str:
        """Standard output of a command inside. Raises PodmanFailed."""
        return self._podman.execute(self.id, *words)

    def ask(self, command: str) -> Any:
        """What one of the node's own commands says as JSON. Raises PodmanFailed."""
        return json.loads(self.execute("electrons", command, "--json"))

    def inspect(self) -> dict[str, Any]:
        """What podman knows about it."""
        return self._podman.inspect(self.id)

    def is_healthy(self) -> bool:
        """The verdict of the image's health check, run now."""
        return self._podman.attempt("healthcheck", "run", self.id).returncode == 0

    def signal(self, name: str) -> None:
        """Send a signal to the node."""
        self._podman("kill", "--signal", name, self.id)

    def stop(self, patience: int) -> int:
        """Ask it to stop, kill it after `patience` seconds; its exit status (137: killed)."""
        self._podman("stop", "--time", str(patience), self.id)
        status: int = self.inspect()["State"]["ExitCode"]
        return status

    def wait(self) -> int:
        """Its exit status, once it ends by itself."""
        return int(self._podman("wait", self.id, timeout=30))

    def logs(self) -> str:
        """Everything it wrote."""
        done = self._podman.attempt("logs", self.id)
        return done.stdout + done.stderr

    def published(self, port: int) -> str:
        """Base URL, on this machine, of a port that was published."""
        return f"http://{self._podman('port', self.id, str(port))}"

    def remove(self) -> None:
        """Kill and delete it with its anonymous volumes. Safe to call twice."""
        if not self._removed:
            self._removed = True
            print(self.logs())
            self._podman("rm", "--force", "--volumes", self.id)
