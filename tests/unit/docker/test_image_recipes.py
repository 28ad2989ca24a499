"""What the image recipes promise, checked without building: `make containers` builds them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import msgpack._cmsgpack
import pytest

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
DOCKERFILES = ("node.Dockerfile", "edge.Dockerfile")


def shipped_packages() -> set[str]:
    """The top-level packages that the distribution is made of."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = pyproject["tool"]["setuptools"]["packages"]["find"]["include"]
    return {pattern.rstrip("*") for pattern in patterns}


def run_script(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one of the build's scripts."""
    command = [sys.executable, str(DOCKER / name), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_what_is_shipped_and_nothing_else_is_in_the_build_context() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    admitted = {rule[1:] for rule in rules if rule.startswith("!")}
    assert admitted - shipped_packages() == {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "docker/*.py",
    }
    assert shipped_packages() <= admitted


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_last_stage_is_unprivileged_and_watched(name: str) -> None:
    last = (DOCKER / name).read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", last, re.MULTILINE)
    assert not re.search(r"^RUN ", last, re.MULTILINE)


def test_both_recipes_differ_only_in_what_they_are_for() -> None:
    node, edge = ((DOCKER / name).read_text().split("\nFROM ") for name in DOCKERFILES)
    without = " --without numpy safetensors uvloop"
    assert without in edge[2]
    assert edge[2].replace(without, "") == node[2]
    assert edge[3] == node[3].replace(" \\\n && mkdir -p /stage-data", "")


def test_dependencies_are_printed_for_pip(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\ndependencies = ["NumPy>=2.0", "kademlia>=2.2.3,<3", "x"]\n')
    assert run_script("dependencies.py", str(pyproject)).stdout == (
        "NumPy>=2.0\nkademlia>=2.2.3,<3\nx\n"
    )
    done = run_script("dependencies.py", str(pyproject), "--without", "numpy", "x")
    assert done.stdout == "kademlia>=2.2.3,<3\n"


def test_leaving_out_what_is_no_dependency_fails(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\ndependencies = ["numpy"]\n')
    done = run_script("dependencies.py", str(pyproject), "--without", "nunpy")
    assert (done.returncode, done.stderr) == (1, "no such dependency: nunpy\n")


def test_pruning_leaves_what_is_imported(tmp_path: Path) -> None:
    packages = tmp_path / Path(sysconfig.get_path("purelib")).relative_to("/")
    for name in ("p/__init__.py", "p/tests/t.py", "p/a.pyi", "p/core.so", "p/include/n/n.h"):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    assert run_script("prune_packages.py", str(tmp_path)).returncode == 0
    left = {file.relative_to(packages).as_posix() for file in packages.rglob("*") if file.is_file()}
    tag = sys.implementation.cache_tag
    assert left == {"p/__init__.py", "p/core.so", f"p/__pycache__/__init__.{tag}.pyc"}


def test_a_stripped_library_is_smaller_and_loads(tmp_path: Path) -> None:
    packages = tmp_path / Path(sysconfig.get_path("purelib")).relative_to("/")
    original = Path(msgpack._cmsgpack.__file__)
    shutil.copytree(original.parent, packages / "msgpack")
    assert run_script("prune_packages.py", str(tmp_path)).returncode == 0
    library = packages / "msgpack" / original.name
    assert library.stat().st_size < original.stat().st_size
    code = "import msgpack._cmsgpack as m; print(m.__file__, m.Packer().pack([1]).hex())"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(packages)!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == (f"{library} 9101\n", "")


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not a library at all" * 9])
def test_what_is_no_library_is_not_cut(tmp_path: Path, content: bytes) -> None:
    packages = tmp_path / Path(sysconfig.get_path("purelib")).relative_to("/")
    packages.mkdir(parents=True)
    (packages / "odd.so").write_bytes(content)
    assert run_script("prune_packages.py", str(tmp_path)).returncode == 0
    assert (packages / "odd.so").read_bytes() == content


def test_a_module_that_does_not_compile_fails_the_build(tmp_path: Path) -> None:
    packages = tmp_path / Path(sysconfig.get_path("purelib")).relative_to("/")
    packages.mkdir(parents=True)
    (packages / "broken.py").write_text("def")
    assert run_script("prune_packages.py", str(tmp_path)).returncode == 1
