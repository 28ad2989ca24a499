"""Images are built once a session; every test has containers of its own and leaves none."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.containers.fleet import Fleet
from tests.containers.images import BASE_IMAGE, ROOT, Images, build_images
from tests.containers.podman import Podman, is_installed

FOLDER = ROOT / "build" / "containers"
"""Storage, wheels and settings; kept between runs, `make clean` removes it."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run only when asked for by name: `-m containers`."""
    if "containers" in config.getoption("markexpr", ""):
        return
    ours = [item for item in items if item.get_closest_marker("containers")]
    config.hook.pytest_deselected(items=ours)
    items[:] = [item for item in items if item not in ours]


@pytest.fixture(scope="session")
def podman() -> Podman:
    if not is_installed():
        pytest.fail("podman is missing: install it with 'apt-get install podman'", pytrace=False)
    return Podman(FOLDER)


@pytest.fixture(scope="session")
def images(podman: Podman) -> Iterator[Images]:
    """Both images under a tag of this session; the base stays for the next one."""
    built = build_images(podman, FOLDER / "wheels", tag=f"test-{secrets.token_hex(4)}")
    yield built
    podman("image", "rm", "--force", built.node_id, built.edge_id)
    assert podman.attempt("image", "exists", BASE_IMAGE).returncode == 0


@pytest.fixture
def fleet(podman: Podman, images: Images) -> Iterator[Fleet]:
    """Containers and networks that are gone after the test."""
    started = Fleet(podman, images, prefix=f"electrons-{secrets.token_hex(4)}")
    try:
        yield started
    finally:
        started.close()
