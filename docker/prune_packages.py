"""Makes installed packages smaller: no tests, headers or stubs, but bytecode for a quick start."""

from __future__ import annotations

import compileall
import shutil
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

UNUSED_FOLDERS = ("tests", "include")
"""In the packages we ship, nothing outside such a folder imports from it."""
UNUSED_FILES = (".a", ".c", ".h", ".pxd", ".pyi", ".pyx")


def main() -> None:
    """Prune this interpreter's packages, below the folder given or in their own place."""
    packages = Path(sysconfig.get_path("purelib"))
    if len(sys.argv) > 1:
        packages = Path(sys.argv[1]) / packages.relative_to("/")
    prune(packages)
    # Checked against nothing: the image is read-only, and copying it may change file times.
    mode = PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(packages, quiet=1, invalidation_mode=mode):
        sys.exit("some modules do not compile")


def prune(packages: Path) -> None:
    """Delete what is never imported."""
    for folder in sorted(packages.rglob("*"), reverse=True):
        if folder.is_dir() and folder.name in UNUSED_FOLDERS:
            shutil.rmtree(folder)
        elif folder.is_file() and folder.suffix in UNUSED_FILES:
            folder.unlink()


if __name__ == "__main__":
    main()
