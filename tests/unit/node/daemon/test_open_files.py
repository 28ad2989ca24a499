"""A daemon takes the open files that its system allows."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from node.open_files import raise_limit
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
raise_limit(wanted)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "after"),
    [(256, 1024, 512, 512), (256, 300, 512, 300), (400, 1024, 300, 400)],
)
def test_the_limit_is_raised_and_never_lowered(
    soft: int, hard: int, wanted: int, after: int
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(soft), str(hard), str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(after), str(hard)]
