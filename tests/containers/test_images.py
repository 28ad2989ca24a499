"""What is in the images, and what is not."""

from __future__ import annotations

import pytest

from tests.containers.images import Images
from tests.containers.podman import Podman

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

MAX_NODE_LAYERS = 130_000_000
"""Bytes that a volunteer downloads beside the base image."""
MAX_EDGE_LAYERS = 60_000_000
TOOLS = ("cc", "gcc", "g++", "c++", "make", "cmake", "ld", "as", "git")


def size_of(podman: Podman, image: str) -> int:
    size: int = podman.inspect(image, "image")["Size"]
    return size


def run_once(podman: Podman, image: str, script: str) -> str:
    """Output of a shell script in a container of the image that is gone afterwards."""
    return podman("run", "--rm", "--entrypoint", "sh", image, "-c", script)


def test_our_layers_are_small(podman: Podman, images: Images) -> None:
    base = size_of(podman, images.base_id)
    node, edge = size_of(podman, images.node_id) - base, size_of(podman, images.edge_id) - base
    print(f"node: {node / 1e6:.1f} MB, edge: {edge / 1e6:.1f} MB on a base of {base / 1e6:.1f} MB")
    assert 0 < node <= MAX_NODE_LAYERS
    assert 0 < edge <= MAX_EDGE_LAYERS


def test_the_images_say_who_they_run_as_and_how_they_are(podman: Podman, images: Images) -> None:
    for image in (images.node_id, images.edge_id):
        config = podman.inspect(image, "image")
        assert config["Config"]["User"] == "10001:10001"
        assert config["Config"]["Entrypoint"] == ["electrons"]
        assert config["Healthcheck"]["Test"][0] == "CMD"
        assert config["Healthcheck"]["Retries"] == 3
    assert podman.inspect(images.node_id, "image")["Config"]["Volumes"] == {"/data": {}}


def test_nothing_in_the_images_builds_or_installs(podman: Podman, images: Images) -> None:
    for image in (images.node_id, images.edge_id):
        found = run_once(podman, image, f"command -v {' '.join(TOOLS)} || true")
        assert found == ""
        listing = run_once(podman, image, "ls /opt/electrons/bin /opt/electrons/lib/*/*-packages")
        assert "electrons" in listing.split()
        assert not {"pip", "setuptools", "wheel", "tests", "docker"} & set(listing.split())


def test_our_files_belong_to_root_and_the_data_folder_does_not(
    podman: Podman, images: Images
) -> None:
    script = "id -u; ls -ldn /opt/electrons /opt/electrons/health_check.py /data"
    user, *lines = run_once(podman, images.node_id, script).splitlines()
    assert user == "10001"
    assert [line.split()[2] for line in lines] == ["10001", "0", "0"]
    assert all(line[8] != "w" for line in lines)


def test_every_compiled_module_loads(podman: Podman, images: Images) -> None:
    """The build cuts symbols off the libraries; whatever it cut too much would fail here."""
    code = (
        "import ctypes, pathlib; import numpy, aiohttp, cryptography;"
        "found = [p for p in pathlib.Path('/opt/electrons').rglob('*.so*') if p.is_file()];"
        "[ctypes.CDLL(str(path)) for path in found];"
        "import numpy.linalg; print(len(found), numpy.linalg.inv(numpy.eye(2)).sum())"
    )
    count, total = run_once(podman, images.node_id, f'python -c "{code}"').split()
    assert int(count) > 20
    assert total == "2.0"


def test_modules_are_compiled_ahead(podman: Podman, images: Images) -> None:
    """A read-only container could never keep the bytecode, and would compile at every start."""
    code = (
        "import os, sys, aiohttp, numpy, node.cli.main;"
        "cached = [getattr(m, '__cached__', None) or '' for m in sys.modules.values()];"
        "ours = [path for path in cached if path.startswith('/opt/')];"
        "print(len(ours));"
        "print([path for path in ours if not os.path.exists(path)])"
    )
    imported, missing = run_once(podman, images.node_id, f'python -c "{code}"').splitlines()
    assert int(imported) > 100
    assert missing == "[]"
