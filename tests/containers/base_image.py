"""Makes a stand-in for docker.io/library/python:X.Y-slim where no registry can be reached.

It is made of this interpreter, the shared libraries that it and the wheels need, and the few
programs that the Dockerfiles call; an interpreter laid out as upstream lays it out is assumed.
For tests only: whoever can pull the real image must never get this one.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import pip

PROGRAMS = ("sh", "ls", "cat", "mkdir", "rm", "env", "sleep", "id")
LOADED_AT_RUN_TIME = (
    *("libstdc++.so.6", "libgcc_s.so.1", "libresolv.so.2"),
    *("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"),
)
"""Wheels (and name look-ups) expect these in any Debian; nothing that we copy names them."""
NOT_COPIED = (
    "site-packages",
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "config-*",
    "__pycache__",
)
_LDD_PATH = re.compile(r"(/\S+) \(0x")
_LDCONFIG_LINE = re.compile(r"^\s*(\S+) \(libc6,[^)]+\) => (\S+)$", re.MULTILINE)


def assemble_root(root: Path) -> None:
    """Fill an empty folder with the image's whole file system."""
    copy_python(root)
    binaries = [copy_program(name, root) for name in PROGRAMS]
    binaries += [Path(sys.executable).resolve(), *extension_modules()]
    for library in {*shared_libraries(binaries), *well_known_libraries()}:
        copy_file(library, root)
    write_system_files(root)


def copy_python(root: Path) -> None:
    """Interpreter, standard library and pip, where the official image has them."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = root / "usr/local/lib" / name
    ignore = shutil.ignore_patterns(*NOT_COPIED)
    shutil.copytree(sysconfig.get_path("stdlib"), stdlib, ignore=ignore, symlinks=True)
    packages = stdlib / "site-packages"
    packages.mkdir()
    shutil.copytree(Path(pip.__file__).parent, packages / "pip", ignore=ignore)
    programs = root / "usr/local/bin"
    programs.mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), programs / name)
    for alias in ("python", "python3"):
        (programs / alias).symlink_to(name)


def copy_program(name: str, root: Path) -> Path:
    """Put a program into /bin; its path on this machine."""
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not on this machine")
    target = root / "bin" / name
    target.parent.mkdir(exist_ok=True)
    shutil.copy2(Path(found).resolve(), target)
    return Path(found).resolve()


def extension_modules() -> Iterator[Path]:
    """The standard library's compiled modules."""
    return Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")


def shared_libraries(binaries: Iterable[Path]) -> Iterator[Path]:
    """Every library that `ldd` names, the loader among them, at the path it names."""
    listing = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True).stdout
    return (Path(found) for found in _LDD_PATH.findall(listing))


def well_known_libraries() -> Iterator[Path]:
    """The libraries that are loaded by name at run time."""
    listing = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    known: dict[str, str] = dict(_LDCONFIG_LINE.findall(listing))
    return (Path(known[name]) for name in LOADED_AT_RUN_TIME if name in known)


def copy_file(file: Path, root: Path) -> None:
    """Copy to the same path below `root`, with what links point to."""
    target = root / file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(file, target)


def write_system_files(root: Path) -> None:
    """Accounts, name look-up, certificates and a world-writable /tmp."""
    etc = root / "etc"
    (etc / "ssl/certs").mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\n")
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    bundle = ssl.get_default_verify_paths().cafile
    if bundle:
        shutil.copy2(bundle, etc / "ssl/certs/ca-certificates.crt")
    for folder in ("tmp", "var/tmp", "proc", "sys", "dev", "root"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
