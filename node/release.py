"""A release beside the running one: installed into an environment of its own, and checked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ElectronsError
from mesh.storage.format import RELEASES

CURRENT = "current"
"""The link to the release that a service starts."""
CHECK_SECONDS = 30.0
"""What a new release may take to say its version."""
INSTALL_SECONDS = 1800.0
MAX_KEPT = 3
"""Releases kept on the disk, the newest and those to roll back to."""


@dataclass(frozen=True, slots=True)
class Release:
    """An installed `electrons`."""

    executable: Path
    version: str


def check_release(executable: Path) -> Release:
    """Ask a program which release it is. Raises ElectronsError when it is none that works."""
    try:
        done = subprocess.run(
            [str(executable), "version", "--json"],
            capture_output=True,
            timeout=CHECK_SECONDS,
            check=True,
        )
        version = json.loads(done.stdout)["version"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise ElectronsError(f"{executable} does not work as a release: {error}") from None
    return Release(executable.absolute(), str(version))


def install_release(folder: Path, source: str) -> Release:
    """Install what pip understands (a version, a wheel, a folder) beside the running release.

    Raises ElectronsError with pip's last words.
    """
    place = _free_place(folder / RELEASES, source)
    try:
        venv.create(place, with_pip=True, symlinks=sys.platform != "win32")
        python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        words = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        subprocess.run(
            [*words, source], capture_output=True, timeout=INSTALL_SECONDS, check=True, text=True
        )
        return check_release(python.with_name("electrons"))
    except (OSError, subprocess.SubprocessError, ElectronsError) as error:
        shutil.rmtree(place, ignore_errors=True)
        raise ElectronsError(f"{source} could not be installed: {_last_words(error)}") from None


def point_current(folder: Path, executable: Path) -> None:
    """Make a service start this release from now on."""
    link = folder / RELEASES / CURRENT
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = link.with_name(f"{CURRENT}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(executable)
    fresh.replace(link)


def remove_old_releases(folder: Path, *keep: Path) -> None:
    """Delete all but the newest releases and those in `keep`."""
    places = [place for place in (folder / RELEASES).glob("*") if place.is_dir()]
    places.sort(key=lambda place: place.stat().st_mtime, reverse=True)
    for place in places[MAX_KEPT:]:
        if not any(kept.is_relative_to(place) for kept in keep):
            shutil.rmtree(place, ignore_errors=True)


def _free_place(releases: Path, source: str) -> Path:
    releases.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", source).strip("-.")[-40:] or "release"
    place, number = releases / name, 1
    while place.exists():
        number += 1
        place = releases / f"{name}-{number}"
    return place


def _last_words(error: Exception) -> str:
    said = getattr(error, "stderr", None) or str(error)
    lines = [line for line in str(said).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
