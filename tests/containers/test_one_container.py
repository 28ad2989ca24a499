"""`docker run`: a node with next to no rights works, tells how it is, and stops when asked."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from tests.containers.fleet import HARDENED, Container, Fleet
from tests.containers.polling import chat, get_json, wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

MIB = 1 << 20
LIMITS = ("--memory", "512m", "--cpus", "1", "--pids-limit", "256")
OPEN = ("-e", "ELECTRONS_HTTP=0.0.0.0:7717", "-e", "ELECTRONS_ACCESS=open")
PUBLISHED = (*OPEN, "--publish", "127.0.0.1::7717")
ALONE = ("-e", "ELECTRONS_MDNS=false")


def await_health(container: Container) -> None:
    """Return once the image's own check passes."""
    wait_for(container.is_healthy, what="a healthy node")


def test_a_hardened_node_serves(fleet: Fleet) -> None:
    node = fleet.run(*HARDENED, *LIMITS, *PUBLISHED, *ALONE, "-e", "ELECTRONS_ENGINES=demo")
    await_health(node)
    text, served_by = chat(node.published(7717), "Tell me a story about an owl.")
    assert text.strip()
    assert served_by == node.ask("status")["node_id"]
    assert node.execute("id", "-u") == "10001"


def test_the_node_knows_the_container_s_limits(fleet: Fleet) -> None:
    node = fleet.run(*HARDENED, *LIMITS, *ALONE)
    await_health(node)
    seen = node.ask("probe")
    assert seen["container"]["cpus"] == 1.0
    assert seen["container"]["memory"] == 512 * MIB
    assert seen["processor"]["usable_cores"] == 1.0
    assert seen["memory"]["limit"] == 512 * MIB
    assert seen["memory"]["available"] < 512 * MIB


def test_it_stops_by_itself_when_asked(fleet: Fleet) -> None:
    node = fleet.run(*HARDENED, *ALONE)
    await_health(node)
    assert node.stop(patience=9) == 0
    assert "Traceback" not in node.logs()


def test_the_identity_lives_in_the_volume(fleet: Fleet) -> None:
    keep = ("--volume", f"{fleet.volume()}:/data")
    first = fleet.run(*HARDENED, *ALONE, *keep)
    await_health(first)
    node_id = first.ask("status")["node_id"]
    first.signal("KILL")
    first.remove()
    again = fleet.run(*HARDENED, *ALONE, *keep)
    await_health(again)
    assert again.ask("status")["node_id"] == node_id


def test_a_daemon_that_hangs_is_unhealthy_until_it_goes_on(fleet: Fleet) -> None:
    node = fleet.run(*HARDENED, *ALONE)
    await_health(node)
    node.signal("STOP")
    assert [node.is_healthy() for _ in range(3)] == [False] * 3
    node.signal("CONT")
    await_health(node)


def test_a_daemon_whose_run_file_is_lost_is_unhealthy(fleet: Fleet) -> None:
    node = fleet.run(*HARDENED, *ALONE)
    await_health(node)
    node.execute("rm", "/data/run.json")
    assert not node.is_healthy()


def test_nobody_outside_reaches_http_unless_told(fleet: Fleet) -> None:
    node = fleet.run("--publish", "127.0.0.1::7717", *ALONE)
    await_health(node)
    with pytest.raises((OSError, urllib.error.URLError)):
        get_json(f"{node.published(7717)}/health")


def test_http_for_others_without_access_is_refused(fleet: Fleet) -> None:
    node = fleet.run("-e", "ELECTRONS_HTTP=0.0.0.0:7717", *ALONE)
    assert node.wait() == 2
    assert "ELECTRONS_HTTP" in node.logs()
    assert "--access" in node.logs()


def test_a_key_is_asked_for_and_the_check_has_one(fleet: Fleet) -> None:
    keys = ("-e", "ELECTRONS_ACCESS=keys", "-e", "ELECTRONS_API_KEYS=only-for-this-test-0123456789")
    node = fleet.run("-e", "ELECTRONS_HTTP=0.0.0.0:7717", *keys, "--publish", "127.0.0.1::7717")
    await_health(node)
    assert status_of(lambda: get_models(node, "")) == 401
    assert status_of(lambda: get_models(node, "only-for-this-test-0123456789")) == 200


def get_models(node: Container, key: str) -> int:
    request = urllib.request.Request(f"{node.published(7717)}/v1/models")
    request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=5) as answer:
        status: int = answer.status
    return status


def status_of(call: Callable[[], int]) -> int:
    """The HTTP status, refusals included."""
    try:
        return call()
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_data_folder_that_cannot_be_written_is_named(fleet: Fleet) -> None:
    node = fleet.run("--tmpfs", "/data:ro", *ALONE)
    assert node.wait() == 1
    assert "/data" in node.logs()
