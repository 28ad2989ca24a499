"""Builds both images with the Dockerfiles that users get, from wheels prepared on this machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.containers.base_image import assemble_root
from tests.containers.podman import BUILD_PATIENCE, Podman

ROOT = Path(__file__).resolve().parents[2]
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE_IMAGE = f"docker.io/library/python:{PYTHON_VERSION}-slim"
WHEELS_INSIDE = "/wheels"
LAYERS_KEPT = "24h"
"""Layers of older builds make the next build quick; unused ones must not fill the disk."""


@dataclass(frozen=True, slots=True)
class Images:
    """Both images, as built now, and what they are built on."""

    tag: str
    node_id: str
    edge_id: str
    base_id: str


def build_images(podman: Podman, wheels: Path, *, tag: str) -> Images:
    """Build both, as `electrons:tag` and `electrons-edge:tag`; layers of earlier runs are used."""
    podman("image", "prune", "--force", "--filter", f"until={LAYERS_KEPT}")
    provide_base(podman)
    made = provide_wheels(wheels)
    return Images(
        tag=tag,
        node_id=build_image(podman, f"electrons:{tag}", "node.Dockerfile", made),
        edge_id=build_image(podman, f"electrons-edge:{tag}", "edge.Dockerfile", made),
        base_id=str(podman.inspect(BASE_IMAGE, "image")["Id"]),
    )


def provide_base(podman: Podman) -> None:
    """Have the base image: pulled where a registry answers, else made of this interpreter."""
    if podman.attempt("image", "exists", BASE_IMAGE).returncode == 0:
        return
    if podman.attempt("pull", "--quiet", BASE_IMAGE, timeout=BUILD_PATIENCE).returncode == 0:
        return
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        root.mkdir()
        root.chmod(0o755)
        assemble_root(root)
        tar = ["tar", "-c", "--owner=0", "--group=0", "-f", str(archive), "-C", str(root), "."]
        subprocess.run(tar, check=True)
        path = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
        podman("import", "--change", path, str(archive), BASE_IMAGE, timeout=BUILD_PATIENCE)


def provide_wheels(folder: Path) -> Path:
    """A folder with the wheels of all dependencies, made anew when these changed."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [*pyproject["project"]["dependencies"], *pyproject["build-system"]["requires"]]
    key = "\n".join([PYTHON_VERSION, *wanted])
    wheels = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
    if (wheels / "complete").exists():
        return wheels
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--wheel-dir", str(wheels), *wanted]
    subprocess.run(pip, check=True, timeout=BUILD_PATIENCE)
    (wheels / "complete").touch()
    return wheels


def build_image(podman: Podman, name: str, dockerfile: str, wheels: Path) -> str:
    """Build one image; its id. Docker's format, because the other one drops health checks."""
    return podman(
        *("build", "--quiet", "--pull=never", "--format", "docker", "--layers"),
        *("--volume", f"{wheels}:{WHEELS_INSIDE}:ro"),
        *("--build-arg", f"PYTHON_VERSION={PYTHON_VERSION}"),
        *("--build-arg", "PIP_NO_INDEX=1", "--build-arg", f"PIP_FIND_LINKS={WHEELS_INSIDE}"),
        *("--file", str(ROOT / "docker" / dockerfile), "--tag", name, str(ROOT)),
        timeout=BUILD_PATIENCE,
    )
