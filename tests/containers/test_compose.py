"""docker/compose.yml as it is: found through the edge router, served across, robust to a crash."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.containers.images import ROOT, Images
from tests.containers.podman import Podman
from tests.containers.polling import chat, get_json, wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

COMPOSE_FILE = ROOT / "docker" / "compose.yml"
KINDS = ("container", "volume", "network", "pod")


@dataclass(frozen=True, slots=True)
class Project:
    """The composed mesh, running."""

    podman: Podman
    name: str
    gateway: str
    """Base URL on this machine."""

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """Running or not; `service` narrows it to one."""
        filters = [f"label=io.podman.compose.project={self.name}"]
        filters += [f"label=com.docker.compose.service={service}"] if service else []
        words = [word for each in filters for word in ("--filter", each)]
        found: list[dict[str, Any]] = json.loads(
            self.podman("ps", "--all", "--format", "json", *words)
        )
        return found

    def container_id(self, service: str) -> str:
        (found,) = self.containers(service)
        return str(found["Id"])

    def node_id(self, service: str) -> str:
        """The id of the node in a service's container, once it is up."""
        status = (self.container_id(service), "electrons", "status", "--json")
        listing = wait_for(lambda: self.podman.execute(*status), what=f"{service} up")
        return str(json.loads(listing)["node_id"])

    def is_healthy(self, service: str) -> bool:
        """The verdict of the image's health check, run now."""
        check = self.podman.attempt("healthcheck", "run", self.container_id(service))
        return check.returncode == 0

    def logs(self, container_id: str) -> str:
        """Everything a container wrote."""
        done = self.podman.attempt("logs", container_id)
        return done.stdout + done.stderr

    def serving_peers(self) -> set[str]:
        """The nodes whose models the gateway can use now."""
        peers = get_json(f"{self.gateway}/api/peers")["peers"]
        return {peer["node_id"] for peer in peers if peer["models"]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def project(podman: Podman, images: Images) -> Iterator[Project]:
    """The compose file, up; afterwards nothing of it is left."""
    name, port = f"electrons-{secrets.token_hex(4)}", free_port()
    variables = {"ELECTRONS_TAG": images.tag, "GATEWAY_PORT": str(port)}
    started = Project(podman, name, f"http://127.0.0.1:{port}")
    try:
        podman.compose(COMPOSE_FILE, name, "up", "--detach", "--no-build", **variables)
        yield started
    finally:
        for container in started.containers():
            print(started.logs(container["Id"]))
        podman.compose(COMPOSE_FILE, name, "down", "--volumes", "--timeout", "1", **variables)
        left = {kind: podman(kind, "ls", "--format", "{{.Name}}") for kind in KINDS}
        assert name not in json.dumps(left)


def test_a_job_crosses_the_bridge_and_a_crash_stops_nobody(project: Project) -> None:
    workers = {project.node_id(service) for service in ("worker-1", "worker-2")}
    wait_for(lambda: project.serving_peers() == workers, what="both workers")
    text, served_by = chat(project.gateway, "Tell me a story about an owl.")
    assert text.strip()
    assert served_by in workers
    assert project.node_id("gateway") not in workers

    lost = next(s for s in ("worker-1", "worker-2") if project.node_id(s) == served_by)
    project.podman("kill", project.container_id(lost))
    for _ in range(10):
        assert chat(project.gateway, "Tell me a story about a fox.")[1] in workers - {served_by}
    wait_for(lambda: project.serving_peers() == workers - {served_by}, what="the loss")

    project.podman("start", project.container_id(lost))
    wait_for(lambda: project.serving_peers() == workers, what="the lost worker, back as itself")


def test_every_service_is_hardened_and_passes_its_check(project: Project) -> None:
    for service in ("edge", "gateway", "worker-1", "worker-2"):
        container = project.container_id(service)
        wait_for(partial(project.is_healthy, service), what=f"{service} healthy")
        host = project.podman.inspect(container)["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert not project.podman.inspect(container)["EffectiveCaps"]


def test_the_edge_router_is_not_on_the_path(project: Project) -> None:
    wait_for(lambda: len(project.serving_peers()) == 2, what="both workers")
    project.podman("kill", project.container_id("edge"))
    assert chat(project.gateway, "Tell me a story about an owl.")[0].strip()


def test_stopping_is_quick_and_quiet(project: Project) -> None:
    """One after the other, so that those still up lose their links while they stop."""
    wait_for(lambda: len(project.serving_peers()) == 2, what="both workers")
    for service in ("worker-1", "edge", "gateway", "worker-2"):
        container = project.container_id(service)
        project.podman("stop", "--time", "9", container)
        assert project.podman.inspect(container)["State"]["ExitCode"] == 0
        assert "Traceback" not in project.logs(container)
