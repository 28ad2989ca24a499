"""Makes installed packages smaller: no tests, headers, stubs or debug symbols, but bytecode."""

from __future__ import annotations

import compileall
import shutil
import struct
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

UNUSED_FOLDERS = ("tests", "include")
"""In the packages we ship, nothing outside such a folder imports from it."""
UNUSED_FILES = (".a", ".c", ".h", ".pxd", ".pyi", ".pyx")

ELF_64_LITTLE = b"\x7fELF\x02\x01"
# Tool Interface Standard, ELF 1.2, and its 64-bit form: System V gABI, chapters 4 and 5.
FILE_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
SECTION_FIELDS = (0x28, 8), (0x3C, 2), (0x3E, 2)
"""Place and size of e_shoff, e_shnum and e_shstrndx."""


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
    """Delete what is never imported or loaded."""
    for path in sorted(packages.rglob("*"), reverse=True):
        if path.is_dir() and path.name in UNUSED_FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in UNUSED_FILES:
            path.unlink()
        elif path.is_file() and ".so" in path.suffixes and not path.is_symlink():
            strip_symbols(path)


def strip_symbols(library: Path) -> None:
    """Cut off what follows the last loaded segment: symbols and debug information, never loaded.

    Like `strip`, which the image that we build on does not have. Other files are left alone.
    """
    data = bytearray(library.read_bytes())
    if len(data) < FILE_HEADER.size or not data.startswith(ELF_64_LITTLE):
        return
    _, _, _, _, first, _, _, _, size, count, *_ = FILE_HEADER.unpack_from(data)
    end = first + size * count
    for index in range(count):
        header = PROGRAM_HEADER.unpack_from(data, first + index * size)
        end = max(end, header[2] + header[5])  # p_offset + p_filesz
    for place, width in SECTION_FIELDS:
        data[place : place + width] = bytes(width)
    library.write_bytes(data[:end])


if __name__ == "__main__":
    main()
